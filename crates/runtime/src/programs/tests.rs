//! Programs, as a caller of exec sees them.

use crate::stage::Stage;
use crate::{Runtime, RuntimeError};
use sha2::{Digest, Sha256};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn programs_say_what_they_see() {
    let stage = Stage::new().await;
    let table: [(&[&str], &str, &str); 24] = [
        (&["cat", "/run/secrets/token"], "", "its token"),
        (&["/bin/cat", "run/secrets/token"], "", "its token"),
        (&["cat", "-"], "typed", "typed"),
        (&["echo", "-n", "a", "b"], "", "a b"),
        (&["echo", "-e", "a\\tb"], "", "a\tb\n"),
        (&["hostname"], "", "web\n"),
        (&["id"], "", "uid=0(root) gid=0(root) groups=0(root)\n"),
        (&["whoami"], "", "root\n"),
        (&["printenv", "COLOUR"], "", "red\n"),
        (&["env", "A=1", "printenv", "A"], "", "1\n"),
        (&["pwd"], "", "/\n"),
        (&["ls", "/run"], "", "secrets\n"),
        (&["seq", "2", "4"], "", "2\n3\n4\n"),
        (&["seq", "5", "-2", "1"], "", "5\n3\n1\n"),
        (&["head", "-n", "1"], "a\nb\n", "a\n"),
        (&["head", "-c3"], "abcdef", "abc"),
        (&["tail", "-n1"], "a\nb\n", "b\n"),
        (&["tail", "-c", "+3"], "abcdef", "cdef"),
        (&["tail", "-c2"], "abcdef", "ef"),
        (&["wc", "-l"], "a\nb\n", "2\n"),
        (&["date", "+%Y-%m-%d"], "", "2026-01-01\n"),
        (&["date"], "", "Thu Jan  1 00:00:00 UTC 2026\n"),
        (&["sha256sum"], "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n"),
        (
            &["ps"],
            "",
            "PID   USER     TIME  COMMAND\n    1 root      0:00 ravelin.test/logger\n    2 root      0:00 ps\n",
        ),
    ];
    for (argv, input, stdout) in table {
        let outcome = stage.exec(argv, input.as_bytes()).await.unwrap();
        assert_eq!(outcome, (0, stdout.to_owned(), String::new()), "{argv:?}");
    }
    for (argv, exit_code) in [
        (&["true"][..], 0),
        (&["false"], 1),
        (&["test", "-d", "/tmp"], 0),
        (&["test", "-d", "/nothing"], 1),
        (&["test", "-f", "/run/secrets/token"], 0),
        (&["[", "a", "=", "a", "]"], 0),
        (&["[", "a"], 2),
        (&["tty"], 1),
        (&["cat", "/var/key"], 1),
        (&["cat", "/../../var/key"], 1),
        (&["date", "+%"], 1),
        (&["sleep", "-1"], 1),
        (&["sleep", "1e300"], 1),
    ] {
        assert_eq!(stage.exec(argv, b"").await.unwrap().0, exit_code, "{argv:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_not_there_is_not_started() {
    let stage = Stage::new().await;
    for (program, why) in [
        ("nothing", "exec: \"nothing\": executable file not found in $PATH: unknown"),
        ("/bin/nothing", "exec: \"/bin/nothing\": stat /bin/nothing: no such file or directory: unknown"),
        ("/tmp", "exec: \"/tmp\": permission denied: unknown"),
        ("exit", "exec: \"exit\": executable file not found in $PATH: unknown"),
    ] {
        let error = stage.exec(&[program], b"").await.unwrap_err().to_string();
        let begins = "failed to exec in container: failed to start exec \"";
        let ends =
            format!("\": OCI runtime exec failed: exec failed: unable to start container process: {why}");
        assert!(error.starts_with(begins) && error.ends_with(&ends), "{error}");
        assert_eq!(error.len(), begins.len() + 64 + ends.len());
    }
    assert!(matches!(stage.runtime.run("u", "x", &[]).await, Err(RuntimeError::NoSuchContainer(_))));
    assert!(matches!(stage.runtime.run("v", "c", &[]).await, Err(RuntimeError::NoSuchPod(_))));
}

#[tokio::test(start_paused = true)]
async fn sleep_takes_its_time() {
    let stage = Stage::new().await;
    let began = tokio::time::Instant::now();
    stage.exec(&["sleep", "1.5", "1m"], b"").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(61_500));
}

#[tokio::test(start_paused = true)]
async fn archives_come_out_as_they_went_in() {
    let stage = Stage::new().await;
    let script = "mkdir -p /data/sub/empty; echo one > /data/a; seq 1 20000 > /data/sub/b; \
                  tar cf - /data | (mkdir /copy; cd /copy; tar xf -); \
                  cat /copy/data/a; sha256sum < /data/sub/b; sha256sum < /copy/data/sub/b; \
                  test -d /copy/data/sub/empty && echo whole; tar cf - -C /data sub | tar tf -";
    let (code, out, err) = stage.sh(script).await;
    assert_eq!(code, 0, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines[0], lines[3]), ("one", "whole"));
    assert_eq!(lines[1], lines[2]);
    assert_eq!(lines[4..], ["sub/", "sub/b", "sub/empty/"]);
    assert_eq!(err, "tar: removing leading '/' from member names\n");
}

#[tokio::test(start_paused = true)]
async fn no_archive_leads_out_of_the_root_or_breaks_anything() {
    let stage = Stage::new().await;
    let archive = stage.sh("echo x > /tmp/f; tar cf - -C /tmp f").await.1;
    let mut evil = archive.clone().into_bytes();
    evil[..9].copy_from_slice(b"../../etc");
    // Its sum is another: nothing comes out.
    assert_eq!(stage.exec(&["tar", "xf", "-"], &evil).await.unwrap().0, 1);
    for bytes in [&b""[..], b"x", &[0; 100], &[0xff; 2000], &archive.as_bytes()[..600]] {
        let (code, ..) = stage.exec(&["tar", "-xmf", "-", "-C", "/tmp"], bytes).await.unwrap();
        assert_ne!(code, 0);
    }
    let (code, _, err) =
        stage.exec(&["tar", "-xmf", "-", "-C", "/nothing"], archive.as_bytes()).await.unwrap();
    assert_eq!(
        (code, err.as_str()),
        (1, "tar: can't change directory to '/nothing': No such file or directory\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_megabytes_pass_through_and_are_not_held() {
    let stage = Stage::new().await;
    let (code, out, err) = stage.sh("head -c 100m /dev/zero | cat | tee /dev/null | sha256sum").await;
    let expected = (0..100).fold(Sha256::new(), |hash, _| hash.chain_update(vec![0; 1024 * 1024])).finalize();
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((code, out), (0, format!("{expected}  -\n")), "{err}");
    let (code, _, err) = stage.sh("head -c 17m /dev/zero > /tmp/big").await;
    assert_eq!((code, err.as_str()), (1, "head: File too large\n"));
}

#[tokio::test(start_paused = true)]
async fn a_program_has_so_many_files_open_and_no_more() {
    let stage = Stage::new().await;
    let kept = stage.sh("yes '' | head -c 2000000 | tail -n 2000000 | wc -l").await.1;
    assert!(kept.trim().parse::<u32>().unwrap() < 600_000, "empty lines take room: {kept}");
    let many = "wc -c".to_owned() + &" /run/secrets/token".repeat(2000) + " | wc -l";
    let (_, shown, complaint) = stage.sh(&many).await;
    assert_eq!(
        (shown.as_str(), complaint.as_str()),
        ("1024\n", "wc: /run/secrets/token: Too many open files\n")
    );
    stage.sh("yes | head -c 16000000 > /tmp/f").await;
    let (code, _, complaint) = stage.sh(&("wc -c".to_owned() + &" /tmp/f".repeat(9))).await;
    assert_eq!((code, complaint.as_str()), (1, "wc: /tmp/f: Too many open files\n"));
}
