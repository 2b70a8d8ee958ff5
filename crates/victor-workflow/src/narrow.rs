//! What a run may do: kept with it as it begins, and less, never more, whenever it goes on.

use victor_core::agent::ToolFilter;
use victor_core::runtime::Runtime;

use crate::options::RunOptions;
use crate::record::Settings;
use crate::yaml::narrowest;

impl Settings {
    /// What options and the runtime's defaults come to. All that matters is said, so that it does not depend on the
    /// defaults of whoever goes on with the run.
    pub(crate) fn of(runtime: &Runtime, options: &RunOptions) -> Self {
        let defaults = runtime.defaults();
        Self {
            mode: Some(options.mode.or(defaults.mode).unwrap_or_default()),
            sandbox: Some(options.sandbox.or(defaults.sandbox).unwrap_or_default()),
            dry_run: options.dry_run.max(defaults.dry_run),
            budget: options.budget.over(&defaults.budget),
            tools: options.tools.clone(),
            session: options.session.clone(),
            leave: options.leave,
            within: Vec::new(),
        }
    }

    /// What is left of them where a run goes on under `now`: whose it is, how it waits and what it is inside of stays
    /// as it was.
    pub(crate) async fn narrowed(self, runtime: &Runtime, now: &Self) -> Self {
        let tools = match (self.tools, &now.tools) {
            (Some(tools), Some(now)) if tools != *now => Some(both(runtime, &tools, now).await),
            (tools, now) => tools.or_else(|| now.clone()),
        };
        Self {
            mode: narrowest(self.mode, now.mode),
            sandbox: self.sandbox.max(now.sandbox),
            dry_run: self.dry_run.max(now.dry_run),
            budget: self.budget.within(&now.budget),
            tools,
            ..self
        }
    }
}

/// The tools that both lists name.
async fn both(runtime: &Runtime, one: &[String], other: &[String]) -> Vec<String> {
    let both = ToolFilter::of(Some(one)).and(Some(other));
    let all = runtime.tool_set().await;
    let names = all.tools().iter().map(|t| t.spec().name.as_str());
    names.filter(|name| both.allows(name)).map(globset::escape).collect()
}
