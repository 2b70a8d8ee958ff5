//! Keeps an allow rule that was given at a question: in the user's own configuration, and for the present runtime.

use std::sync::Arc;

use victor::config::Settings;
use victor::permission::{Rule, RuleEffect};
use victor::runtime::Runtime;
use victor::{Home, Options, Setup};

use crate::approve::SaveRule;
use crate::exit::Failure;

/// Saves rules in the user's configuration, and has them hold at once in `runtime`.
pub(crate) fn saver(options: Options, runtime: &Runtime) -> SaveRule {
    let runtime = runtime.clone();
    Arc::new(move |text| {
        let home = Home::find(&options.env)?;
        let source = home.config().display().to_string();
        let rule = Rule::parse(RuleEffect::Allow, text, source).map_err(|e| Failure::failed(e.to_string()))?;
        let mut rules = own_rules(&Setup::load(options.clone())?.settings, &home);
        if !rules.iter().any(|r| r == text) {
            rules.push(text.to_owned());
            let list = serde_json::to_string(&rules).map_err(|e| Failure::failed(e.to_string()))?;
            victor::config::set(&home, "permissions.allow", &list)?;
        }
        runtime.add_rule(rule);
        Ok(())
    })
}

/// The allow rules that stand in the user's own file.
fn own_rules(settings: &Settings, home: &Home) -> Vec<String> {
    let file = format!("{}:", home.config().display());
    let own = settings.origins.iter().filter(|o| o.origin.starts_with(&file));
    let allow = own.filter(|o| matches!(o.path.as_slice(), [a, b, _] if a == "permissions" && b == "allow"));
    allow.filter_map(|o| o.value.as_str().map(ToOwned::to_owned)).collect()
}
