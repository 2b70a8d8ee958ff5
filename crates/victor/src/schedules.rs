//! The schedules that a server of this folder follows, made of the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use victor_core::error::ConfigurationError;
use victor_core::memory_schedules::MemorySchedules;
use victor_core::runtime::Runtime;
use victor_core::schedule::ScheduleStore;
use victor_store::SqliteStore;
use victor_workflow::schedule::{Cron, Places, Schedule, Scheduler, Schedules};

use crate::config::{self, ScheduleSettings};
use crate::setup::Setup;

impl Setup {
    /// The schedules of this folder, by name.
    ///
    /// # Errors
    /// One names a variable that is not set.
    pub fn schedules(&self) -> Result<Vec<Schedule>, ConfigurationError> {
        let all = self.settings.config.schedules.iter();
        all.filter(|(_, settings)| self.is_of_here(settings)).map(|(name, s)| self.schedule(name, s)).collect()
    }

    /// Who follows the schedules of this folder with a runtime; doors find them in it from now on.
    ///
    /// # Errors
    /// As [`schedules`](Self::schedules).
    pub fn scheduler(&self, runtime: &Runtime) -> Result<Scheduler, ConfigurationError> {
        let store: Arc<dyn ScheduleStore> = match runtime.get::<Arc<SqliteStore>>() {
            Some(store) => Arc::<SqliteStore>::clone(&store),
            None => Arc::new(MemorySchedules::default()),
        };
        runtime.insert(Schedules { store, all: self.schedules()? });
        Scheduler::of(runtime).ok_or_else(|| ConfigurationError::new("the runtime keeps no schedules"))
    }

    fn is_of_here(&self, settings: &ScheduleSettings) -> bool {
        let Some(folder) = &settings.workspace else { return true };
        let path = match folder.strip_prefix("~/") {
            Some(below) => self.env().path("HOME").map(|home| home.join(below)),
            None => Some(PathBuf::from(folder)),
        };
        path.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == self.place.root)
    }

    fn schedule(&self, name: &str, settings: &ScheduleSettings) -> Result<Schedule, ConfigurationError> {
        let key = format!("schedules.{name}");
        let settings: ScheduleSettings = config::expand::part(settings, &key, self.env())?;
        let missing = |what: &str| ConfigurationError::new(format!("{key} has no `{what}`"));
        let zone = settings.timezone.as_deref().unwrap_or(config::ZONE);
        Ok(Schedule {
            name: name.to_owned(),
            cron: Cron::parse(&settings.cron.ok_or_else(|| missing("cron"))?, zone)?,
            workflow: settings.workflow.ok_or_else(|| missing("workflow"))?,
            input: settings.input.into_iter().collect(),
            missed: settings.missed.unwrap_or_default(),
            overlap: settings.overlap.unwrap_or_default(),
            enabled: settings.enabled.unwrap_or(true),
            places: Places { workflow: self.place_of(name, "workflow"), input: self.place_of(name, "input") },
        })
    }

    /// Where a part of a schedule is said; where it is not, where the workflow is.
    fn place_of(&self, name: &str, part: &str) -> String {
        let origins = &self.settings.origins;
        let find = |part: &str| {
            let path = ["schedules", name, part];
            origins.iter().find(|o| o.path.len() >= 3 && o.path.iter().zip(path).all(|(a, b)| a == b))
        };
        find(part).or_else(|| find("workflow")).map(|o| o.origin.clone()).unwrap_or_default()
    }
}
