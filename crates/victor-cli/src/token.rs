//! `victor tokens`: bearer tokens of the HTTP API. A token is shown once, when it is made.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use victor::id::{Clock as _, Timestamp};
use victor::token::{Scope, TokenInfo, TokenStore as _};
use victor::{SystemClock, tokens};

use crate::app::App;
use crate::args::{AgentFlags, TokensCommand};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{json, line, note};

/// Carries out a `victor tokens` command.
///
/// # Errors
/// A name is taken or unknown, or the store failed.
pub(crate) async fn tokens(app: &App, command: TokensCommand) -> Result<Exit, Failure> {
    let store = app.setup(&AgentFlags::default())?.store()?;
    let now = SystemClock.now();
    match command {
        TokensCommand::Create { name, scopes, expires, format } => {
            let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
            let minted = tokens::mint(store.as_ref(), &name, scopes, expires.map(|after| later(now, after))).await;
            let minted = minted.map_err(|e| Failure { exit: exit_of(&e), message: e.to_string() })?;
            match format.json {
                true => json(&json!({"token": minted.secret, "info": minted.info}))?,
                false => {
                    line(minted.secret)?;
                    let until = minted.info.expires_at.map(|at| format!(" until {at}")).unwrap_or_default();
                    let scopes = names(&minted.info);
                    note(format!("this is the only time that the token is shown; it allows {scopes}{until}"));
                }
            }
        }
        TokensCommand::List(format) => {
            let all = store.tokens().await?;
            if format.json {
                let shown: Vec<_> = all.iter().map(|t| json!({"info": t, "state": state(t, now)})).collect();
                json(&shown)?;
            } else if all.is_empty() {
                note("there are no tokens; `victor tokens create NAME` makes one");
            } else {
                let rows: Vec<[String; 5]> = all.iter().map(|t| row(t, now)).collect();
                table(["name", "scopes", "state", "expires", "id"], &rows, None).iter().try_for_each(line)?;
            }
        }
        TokensCommand::Revoke { name } => {
            if !store.revoke_token(&name, now).await? {
                let message = format!("no valid token `{name}`; `victor tokens list` shows them");
                return Err(Failure::failed(message));
            }
            note(format!("the token {name} is worth nothing from now on"));
        }
    }
    Ok(Exit::Done)
}

/// `30d`, `12h`, `45m` or `90s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time: write 30d, 12h, 45m or 90s");
    let (count, unit) = text.split_at(text.len().saturating_sub(1));
    let count: u64 = count.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    // A hundred years are as good as forever, and fit.
    count.checked_mul(seconds).filter(|s| *s <= 100 * 366 * 24 * 60 * 60).map(Duration::from_secs).ok_or_else(wrong)
}

fn exit_of(error: &victor::VictorError) -> Exit {
    if error.code() == "INVALID_VALUE" { Exit::Usage } else { Exit::Failed }
}

fn later(now: Timestamp, after: Duration) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
}

fn row(token: &TokenInfo, now: Timestamp) -> [String; 5] {
    let expires = token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    [token.name.clone(), names(token), state(token, now).to_owned(), expires, token.id.clone()]
}

fn state(token: &TokenInfo, now: Timestamp) -> &'static str {
    match (token.revoked_at, token.is_valid(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "valid",
        (None, false) => "expired",
    }
}

fn names(token: &TokenInfo) -> String {
    token.scopes.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
}
