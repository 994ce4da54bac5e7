//! Where a pod's containers have their files.

use crate::{ContainerView, PodView};
use ravelin_host::program::Programs;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The folders of a pod's containers, each of which finds the pod's files below its own.
#[derive(Clone)]
pub(super) struct Folder {
    programs: Arc<dyn Programs>,
    uid: String,
    containers: Vec<String>,
}

impl Folder {
    /// Makes the folders.
    pub(super) fn new(programs: &Arc<dyn Programs>, pod: &PodView) -> io::Result<Self> {
        let containers = pod.containers.iter().map(|view| view.name.clone()).collect();
        let folder = Self { programs: Arc::clone(programs), uid: pod.uid.clone(), containers };
        for container in &folder.containers {
            folder.programs.folder(&folder.of(container))?;
        }
        Ok(folder)
    }

    fn of(&self, container: &str) -> String {
        format!("pods/{}/{container}", self.uid)
    }

    /// A container's root, and the folder that it is started in, as programs see them.
    pub(super) fn places(&self, view: &ContainerView) -> io::Result<(String, String)> {
        let root = self.of(&view.name);
        let working = format!("{root}/{}", view.working_directory);
        Ok((self.programs.folder(&root)?, self.programs.folder(&working)?))
    }

    /// Writes files, by their absolute paths in the pod.
    pub(super) fn write(&self, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        for container in &self.containers {
            let root = self.of(container);
            for (path, content) in files {
                self.programs.disk().write(&format!("{root}/{path}"), content)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut containers = self.containers.iter();
        containers.try_for_each(|one| self.programs.disk().remove(&format!("{}/{path}", self.of(one))))
    }

    /// Removes everything.
    pub(super) fn clear(&self) {
        // A program that is just being killed may write once more: what stays then is no reason to keep
        // the pod.
        let _ = self.programs.remove_folder(&format!("pods/{}", self.uid));
    }
}
