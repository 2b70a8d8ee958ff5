//! What the configuration of a folder that is not trusted may say: only what takes something away.

use std::collections::BTreeMap;

use victor_core::agent::Profile;
use victor_core::permission::Mode;

use super::schema::{Config, Limits, Permissions};

/// The part of `project` that narrows `base` (what holds without it), and the keys that are ignored.
pub(crate) fn narrow(project: Config, base: &Config) -> (Config, Vec<String>) {
    let mut ignored = Ignored(Vec::new());
    let Config {
        provider,
        model,
        profile,
        fallback,
        mode,
        sandbox,
        profiles,
        providers,
        permissions: Permissions { allow, ask, deny },
        limits,
        store,
        log,
        #[cfg(feature = "local")]
        local,
        server,
        mcp_servers,
        schedules,
    } = project;
    ignored.unless(provider.is_none(), "provider");
    ignored.unless(model.is_none(), "model");
    ignored.unless(profile.is_none(), "profile");
    ignored.unless(fallback.is_none(), "fallback");
    ignored.unless(profiles.is_empty(), "profiles");
    ignored.unless(providers.is_empty(), "providers");
    ignored.unless(allow.is_empty(), "permissions.allow");
    ignored.unless(store == Default::default(), "store");
    ignored.unless(log == Default::default(), "log");
    #[cfg(feature = "local")]
    ignored.unless(local == Default::default(), "local");
    ignored.unless(server.is_none(), "server");
    ignored.unless(mcp_servers.is_empty(), "mcpServers");
    ignored.unless(schedules.is_empty(), "schedules");
    let now = base.mode.unwrap_or_default();
    let narrowed = Config {
        mode: ignored.keep(mode, |m| narrower(m, now), "mode"),
        sandbox: ignored.keep(sandbox, |s| s >= base.sandbox.unwrap_or_default(), "sandbox"),
        permissions: Permissions { allow: Vec::new(), ask, deny },
        limits: lower(limits, &base.limits, &mut ignored),
        ..Config::default()
    };
    (narrowed, ignored.0)
}

/// Takes from the profiles what would widen again what the folder has narrowed.
pub(crate) fn clamp(profiles: &mut BTreeMap<String, Profile>, narrowed: &Config) {
    for profile in profiles.values_mut() {
        if let Some(mode) = narrowed.mode {
            profile.mode = profile.mode.filter(|m| narrower(*m, mode));
        }
        if let Some(turns) = narrowed.limits.max_turns {
            profile.max_turns = profile.max_turns.filter(|n| *n <= turns);
        }
    }
}

fn narrower(mode: Mode, base: Mode) -> bool {
    base.permits(mode.ceiling())
}

fn lower(limits: Limits, base: &Limits, ignored: &mut Ignored) -> Limits {
    let Limits { max_turns, max_tokens, max_cost, max_time, idle_timeout } = limits;
    Limits {
        max_turns: ignored.keep(max_turns, |n| base.max_turns.is_none_or(|b| n <= b), "limits.max_turns"),
        max_tokens: ignored.keep(max_tokens, |n| base.max_tokens.is_none_or(|b| n <= b), "limits.max_tokens"),
        max_cost: ignored.keep(max_cost, |n| base.max_cost.is_none_or(|b| n <= b), "limits.max_cost"),
        max_time: ignored.keep(max_time, |n| base.max_time.is_none_or(|b| n <= b), "limits.max_time"),
        idle_timeout: ignored.keep(idle_timeout, |n| base.idle_timeout.is_none_or(|b| n <= b), "limits.idle_timeout"),
    }
}

struct Ignored(Vec<String>);

impl Ignored {
    fn unless(&mut self, absent: bool, key: &str) {
        if !absent {
            self.0.push(key.to_owned());
        }
    }

    fn keep<T: Copy>(&mut self, value: Option<T>, narrows: impl Fn(T) -> bool, key: &str) -> Option<T> {
        let kept = value.filter(|v| narrows(*v));
        self.unless(value.is_none() || kept.is_some(), key);
        kept
    }
}
