//! The files that a person named, read into memory: files, directories, standard input.

use ravelin_config::SourceFile;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// The most files that one run reads.
const MAX_FILES: usize = 1_000;

/// How deep directories are followed.
const MAX_DEPTH: usize = 8;

/// The extensions that a directory's files are read with; files without one are read too.
const EXTENSIONS: [&str; 7] = ["yaml", "yml", "json", "service", "conf", "flags", "env"];

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The files, in the order in which they were named; a directory's by name.
    pub(crate) files: Vec<SourceFile>,
    /// Files of directories that were left out because of their names.
    pub(crate) ignored: Vec<String>,
    /// Everything that could not be read, one line each.
    pub(crate) errors: Vec<String>,
}

/// Reads every file, directory and `-` of a command line.
pub(crate) fn read(inputs: &[PathBuf], stdin: &mut dyn Read) -> Input {
    let mut reader = Reader { input: Input::default(), seen: BTreeSet::new() };
    for input in inputs {
        if input == Path::new("-") {
            if reader.seen.insert(input.clone()) {
                reader.take("-", stdin);
            } else {
                reader.refuse("-", "standard input can be read once");
            }
        } else if input.is_dir() {
            let before = (reader.input.files.len(), reader.input.errors.len());
            reader.directory(input, 0);
            if (reader.input.files.len(), reader.input.errors.len()) == before {
                reader.refuse(&input.display().to_string(), "no configuration file in this directory");
            }
        } else {
            reader.file(input);
        }
    }
    reader.input
}

struct Reader {
    input: Input,
    /// The files behind the names, so that one that is named twice is read once.
    seen: BTreeSet<PathBuf>,
}

impl Reader {
    fn refuse(&mut self, name: &str, problem: &str) {
        self.input.errors.push(format!("{name}: {problem}"));
    }

    fn directory(&mut self, directory: &Path, depth: usize) {
        let name = directory.display().to_string();
        if depth > MAX_DEPTH {
            return self.refuse(&name, "directories are nested too deeply");
        }
        let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<PathBuf> = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return self.refuse(&name, &error.to_string()),
        };
        paths.sort();
        for path in paths {
            // A link to a directory could lead round in a circle; a link to a file cannot.
            let is_directory = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
            if is_directory && !is_hidden(&path) {
                self.directory(&path, depth + 1);
            } else if path.is_file() && is_wanted(&path) {
                self.file(&path);
            } else {
                self.input.ignored.push(path.display().to_string());
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.input.files.len() >= MAX_FILES {
            return self.refuse(&name, &format!("more than {MAX_FILES} files"));
        }
        if !self.seen.insert(real) {
            return;
        }
        match std::fs::File::open(path) {
            Ok(mut file) => self.take(&name, &mut file),
            Err(error) => self.refuse(&name, &error.to_string()),
        }
    }

    fn take(&mut self, name: &str, source: &mut dyn Read) {
        let mut bytes = Vec::new();
        if let Err(error) = source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
            return self.refuse(name, &error.to_string());
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return self.refuse(name, &format!("larger than {MAX_FILE_BYTES} bytes"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.input.files.push(SourceFile { name: name.to_owned(), text }),
            Err(_) => self.refuse(name, "not UTF-8 text"),
        }
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_wanted(path: &Path) -> bool {
    let known = |extension: &OsStr| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
    !is_hidden(path) && path.extension().is_none_or(known)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a directory for the tests' own files")]
mod tests {
    use super::*;

    /// A directory of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str, files: &[(&str, &[u8])]) -> Self {
            let folder = Self(std::env::temp_dir().join(format!("ravelin-{test}-{}", std::process::id())));
            for (name, content) in files {
                let path = folder.0.join(name);
                std::fs::create_dir_all(path.parent().expect("a file has a directory")).expect("writable");
                std::fs::write(path, content).expect("writable");
            }
            folder
        }

        fn names(&self, input: &Input) -> Vec<String> {
            let prefix = format!("{}/", self.0.display());
            input.files.iter().map(|file| file.name.replace(&prefix, "")).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_directory_is_read_by_name_and_says_what_it_ignored() {
        let folder = Folder::new(
            "directory",
            &[
                ("b.yaml", b"b"),
                ("a.YML", b"a"),
                ("pki/ca.key", b"k"),
                ("sub/flags", b"f"),
                (".x.yaml", b"x"),
            ],
        );
        let input = read(&[folder.0.clone(), folder.0.join("b.yaml")], &mut std::io::empty());
        assert_eq!(
            folder.names(&input),
            ["a.YML", "b.yaml", "sub/flags"],
            "b.yaml was named twice, read once"
        );
        assert_eq!(input.ignored.len(), 2, "{:?}", input.ignored);
        assert!(input.errors.is_empty(), "{:?}", input.errors);
    }

    #[test]
    fn everything_unreadable_is_told_at_once() {
        let folder = Folder::new("unreadable", &[("binary.yaml", b"\xff\xfe"), ("empty/ca.crt", b"c")]);
        let inputs = ["missing.yaml", "binary.yaml", "empty"].map(|name| folder.0.join(name));
        let mut stdin: &[u8] = b"kind: x";
        let input = read(&[&inputs[..], &["-".into(), "-".into()]].concat(), &mut stdin);
        assert_eq!(input.errors.len(), 4, "{:?}", input.errors);
        assert!(input.errors[1].ends_with("binary.yaml: not UTF-8 text"));
        assert_eq!(input.files.len(), 1, "standard input was readable");
        assert_eq!((input.files[0].name.as_str(), input.files[0].text.as_str()), ("-", "kind: x"));
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let mut endless = std::io::repeat(b'#');
        let input = read(&["-".into()], &mut endless);
        assert_eq!(input.errors, [format!("-: larger than {MAX_FILE_BYTES} bytes")]);
    }
}
