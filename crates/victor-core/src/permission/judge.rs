//! The verdict on one planned call: mode, then rules, then what the effects ask for.

use crate::sandbox::SandboxMode;
use crate::tool::{Effects, Plan, ToolSpec};

use super::{Mode, PermissionKey, RuleEffect, Rules};

/// What is to happen with a planned call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Allow,
    /// Somebody has to say yes.
    Ask {
        /// Why it is not simply allowed.
        reason: String,
        /// Whether it would leave the sandbox, which a general yes does not answer.
        leaves_sandbox: bool,
        /// Whether it would be asked whatever is allowed by a rule.
        beats_rules: bool,
    },
    /// It may not run.
    Deny {
        /// Why, and how it could be allowed.
        reason: String,
    },
}

/// What was allowed for the rest of a session: a tool's calls with these effects at most and this key, or with any
/// arguments where a call has no keys.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<(String, Effects, Option<PermissionKey>)>);

impl Grants {
    /// Allows calls like this one from now on.
    pub fn add(&mut self, tool: &str, effects: Effects, keys: &[PermissionKey]) {
        match keys {
            [] => self.0.push((tool.to_owned(), effects, None)),
            keys => self.0.extend(keys.iter().map(|k| (tool.to_owned(), effects, Some(k.clone())))),
        }
    }

    fn cover(&self, tool: &str, effects: Effects, key: Option<&PermissionKey>) -> bool {
        self.0.iter().any(|(t, most, k)| t == tool && most.contains(effects) && k.as_ref() == key)
    }
}

/// Judges a planned call by mode, rules and effects. Hooks and the approver come after it.
#[must_use]
pub fn judge(
    mode: Mode,
    sandbox: SandboxMode,
    rules: &Rules,
    grants: &Grants,
    tool: &ToolSpec,
    plan: &Plan,
) -> Verdict {
    if !tool.effects.contains(plan.effects) {
        let reason = format!("`{}` planned more than it says it can do: {:?}", tool.name, plan.effects);
        return Verdict::Deny { reason };
    }
    if !mode.permits(plan.effects) {
        let reason = format!(
            "the mode `{}` does not allow to {}; it would need another mode",
            mode.name(),
            plan.effects.beyond(mode.ceiling()).names().collect::<Vec<_>>().join(" or ")
        );
        return Verdict::Deny { reason };
    }
    let case = Case { sandbox, rules, grants, tool, plan };
    let keys: Vec<Option<&PermissionKey>> =
        if plan.keys.is_empty() { vec![None] } else { plan.keys.iter().map(Some).collect() };
    let verdicts = keys.into_iter().map(|key| case.verdict(key));
    verdicts.reduce(strictest).unwrap_or(Verdict::Allow)
}

fn strictest(a: Verdict, b: Verdict) -> Verdict {
    match (a, b) {
        (deny @ Verdict::Deny { .. }, _) | (_, deny @ Verdict::Deny { .. }) => deny,
        (
            Verdict::Ask { reason, leaves_sandbox, beats_rules },
            Verdict::Ask { leaves_sandbox: leaves, beats_rules: beats, .. },
        ) => Verdict::Ask { reason, leaves_sandbox: leaves_sandbox || leaves, beats_rules: beats_rules || beats },
        (ask @ Verdict::Ask { .. }, _) | (_, ask @ Verdict::Ask { .. }) => ask,
        (Verdict::Allow, Verdict::Allow) => Verdict::Allow,
    }
}

struct Case<'a> {
    sandbox: SandboxMode,
    rules: &'a Rules,
    grants: &'a Grants,
    tool: &'a ToolSpec,
    plan: &'a Plan,
}

impl Case<'_> {
    fn verdict(&self, key: Option<&PermissionKey>) -> Verdict {
        let name = &self.tool.name;
        let rule = self.rules.strictest(name, key);
        if let Some(rule) = rule
            && rule.effect() == RuleEffect::Deny
        {
            return Verdict::Deny {
                reason: format!("the rule `deny: {}` ({}) forbids it", rule.text(), rule.source()),
            };
        }
        if let Some(PermissionKey::Path { outside: true, absolute, .. }) = key
            && !self.rules.rules().iter().any(|r| key.is_some_and(|k| r.opens_outside(name, k)))
        {
            return Verdict::Deny {
                reason: format!(
                    "{absolute} is outside the workspace; it would need its folder among the added ones (--add-dir), \
                     or the rule `{name}({})` among those that allow (`permissions.allow`, --allow)",
                    globset::escape(absolute)
                ),
            };
        }
        if self.plan.effects.contains(Effects::UNSANDBOXED) {
            let reason = "it would run outside the sandbox".to_owned();
            return Verdict::Ask { reason, leaves_sandbox: true, beats_rules: true };
        }
        if self.grants.cover(name, self.plan.effects, key) {
            return Verdict::Allow;
        }
        let ask = |reason: String| Verdict::Ask { reason, leaves_sandbox: false, beats_rules: true };
        match rule.map(|r| (r.effect(), r)) {
            Some((RuleEffect::Ask, rule)) => ask(format!("the rule `ask: {}` ({})", rule.text(), rule.source())),
            Some((RuleEffect::Allow, _)) if self.may_read_hidden() => {
                ask("rules deny reading some paths, and a program cannot be kept from them".to_owned())
            }
            Some((RuleEffect::Allow, _)) if !matches!(key, Some(PermissionKey::UnsplitCommand { .. })) => {
                Verdict::Allow
            }
            Some(_) => ask("the command line could not be split into single commands".to_owned()),
            None => self.by_effects(key),
        }
    }

    /// A program reads what it likes, deny rules or not.
    fn may_read_hidden(&self) -> bool {
        self.plan.effects.contains(Effects::EXECUTE) && self.rules.hides_paths()
    }

    /// A file that a command line redirects: the commands themselves are judged by their own keys, the file only by
    /// rules that speak of it.
    fn is_file_of_command(&self, key: Option<&PermissionKey>) -> bool {
        let command =
            |k: &PermissionKey| matches!(k, PermissionKey::Command { .. } | PermissionKey::UnsplitCommand { .. });
        matches!(key, Some(PermissionKey::Path { .. })) && self.plan.keys.iter().any(command)
    }

    fn by_effects(&self, key: Option<&PermissionKey>) -> Verdict {
        let effects = self.plan.effects;
        let asks = effects.contains(Effects::EXECUTE) || effects.contains(Effects::NETWORK);
        if !asks || self.is_file_of_command(key) {
            return Verdict::Allow;
        }
        let what = key.map_or_else(|| self.tool.name.clone(), ToString::to_string);
        let means = match (effects.contains(Effects::EXECUTE), self.sandbox) {
            (true, SandboxMode::Off) => "runs a program without a sandbox",
            (true, _) if effects.contains(Effects::NETWORK) => "runs a program with network",
            (true, _) => "runs a program",
            (false, _) => "uses the network",
        };
        let reason = format!("{means}: {what}");
        Verdict::Ask { reason, leaves_sandbox: false, beats_rules: self.may_read_hidden() }
    }
}
