//! Questions at the terminal: may this call run? Once, for this session, always, or no with a reason.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use inquire::ui::RenderConfig;
use inquire::{InquireError, Select, Text};
use tokio::sync::{mpsc, oneshot};
use victor::mcp::{Elicitation, Elicited, Servers};
use victor::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope, RuleEffect, Rules};
use victor::tool::Preview;
use victor::workflow::{Question as PersonQuestion, Reply};

use crate::elicit::{self, Form};
use crate::exit::Failure;
use crate::person::Person;
use crate::render::diff::diff;
use crate::render::style::{Color, Style};
use crate::signal::{Ask, Signals};
use crate::terminal::{Terminal, harmless, harmless_line, note};

/// Keeps an allow rule for good, and has it hold from now on.
pub(crate) type SaveRule = Arc<dyn Fn(&str) -> Result<(), Failure> + Send + Sync>;

/// Sends questions to whoever follows the run, who owns the terminal.
pub(crate) struct TerminalApprover {
    questions: mpsc::Sender<(ApprovalRequest, oneshot::Sender<Answer>)>,
    people: mpsc::Sender<(PersonQuestion, oneshot::Sender<Reply>)>,
    /// Whether everything that a general yes answers is answered with yes (`--yes`).
    yes: bool,
}

#[async_trait]
impl Approver for TerminalApprover {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        if self.yes && !request.leaves_sandbox {
            return Answer::Decided(Decision::Allow(GrantScope::Once));
        }
        let (answer, answered) = oneshot::channel();
        let unanswered = || Answer::Decided(deny("nobody answered the question"));
        if self.questions.send((request.clone(), answer)).await.is_err() {
            return unanswered();
        }
        answered.await.unwrap_or_else(|_| unanswered())
    }

    async fn question(&self, question: &PersonQuestion) -> Reply {
        let (answer, answered) = oneshot::channel();
        if self.people.send((question.clone(), answer)).await.is_err() {
            return Reply::Nobody;
        }
        answered.await.unwrap_or(Reply::Nobody)
    }
}

/// The receiving end of the questions.
pub(crate) struct Questions {
    questions: mpsc::Receiver<(ApprovalRequest, oneshot::Sender<Answer>)>,
    people: mpsc::Receiver<(PersonQuestion, oneshot::Sender<Reply>)>,
    terminal: Terminal,
    rules: Arc<dyn Fn() -> Arc<Rules> + Send + Sync>,
    save: SaveRule,
    forms: Option<mpsc::Receiver<(Elicitation, oneshot::Sender<Elicited>)>>,
}

/// Something that waits for an answer at the terminal.
pub(crate) enum Asking {
    /// May this call run?
    Call(Box<Question>),
    /// A server wants input.
    Form(Form),
    /// A workflow wants to know something.
    Person(Person),
}

impl Asking {
    /// Asks, and passes the answer on. Tells where the user wanted to stop the run, or to leave, instead.
    pub(crate) async fn put(self, signals: &mut Signals) -> Option<Ask> {
        match self {
            Self::Call(question) => question.put(signals).await,
            Self::Form(form) => form.put(signals).await,
            Self::Person(person) => person.put(signals).await,
        }
    }
}

impl Questions {
    /// An approver, and where its questions come out.
    pub(crate) fn new(
        terminal: Terminal,
        yes: bool,
        rules: Arc<dyn Fn() -> Arc<Rules> + Send + Sync>,
        save: SaveRule,
    ) -> (Arc<dyn Approver>, Self) {
        let ((calls, questions), (persons, people)) = (mpsc::channel(1), mpsc::channel(1));
        let approver = TerminalApprover { questions: calls, people: persons, yes };
        (Arc::new(approver), Self { questions, people, terminal, rules, save, forms: None })
    }

    /// Has servers that ask for input be answered here.
    pub(crate) fn with_forms(mut self, servers: &Servers) -> Self {
        let (elicitor, forms) = elicit::channel();
        servers.set_elicitor(Arc::new(elicitor));
        self.forms = Some(forms);
        self
    }

    /// The next question.
    pub(crate) async fn next(&mut self) -> Asking {
        let forms = async {
            match &mut self.forms {
                Some(forms) => forms.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some((request, answer)) = self.questions.recv() => {
                let always = rules_for(&request, &(self.rules)());
                let save = Arc::clone(&self.save);
                Asking::Call(Box::new(Question { request, answer, always, terminal: self.terminal, save }))
            }
            Some(asked) = forms => Asking::Form(Form::new(asked)),
            Some(asked) = self.people.recv() => Asking::Person(Person::new(self.terminal, asked)),
            else => std::future::pending().await,
        }
    }
}

/// A question that waits for its answer.
pub(crate) struct Question {
    request: ApprovalRequest,
    answer: oneshot::Sender<Answer>,
    /// The rules that would allow it for good; empty where none would.
    always: Vec<String>,
    terminal: Terminal,
    save: SaveRule,
}

/// What can be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Once,
    Session,
    Always,
    No,
}

struct Offer {
    choice: Choice,
    text: String,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Question {
    /// Asks, and answers the run. Tells where the user wanted to stop the run, or to leave, instead.
    pub(crate) async fn put(self, signals: &mut Signals) -> Option<Ask> {
        self.show();
        let offers = self.offers();
        let colours = self.terminal.paint_err == crate::render::style::Paint::on();
        let terminal_state = rustix::termios::tcgetattr(std::io::stdin());
        let asked = tokio::task::spawn_blocking(move || choose(offers, colours));
        let chosen = tokio::select! {
            chosen = asked => chosen.unwrap_or(Err(InquireError::OperationCanceled)),
            () = signals.end() => {
                // The question still reads the terminal and would leave it as it is now.
                if let Ok(state) = terminal_state {
                    let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &state);
                }
                return Some(Ask::End);
            }
        };
        let (decision, ask) = match chosen {
            Ok((Choice::Once, _)) => (Decision::Allow(GrantScope::Once), None),
            Ok((Choice::Session, _)) => (Decision::Allow(GrantScope::Session), None),
            Ok((Choice::Always, _)) => (self.keep(), None),
            Ok((Choice::No, reason)) => (denied_with(&reason), None),
            Err(InquireError::OperationInterrupted) => (deny("the user stopped the turn"), Some(Ask::Stop)),
            Err(_) => (denied_with(""), None),
        };
        let _ = self.answer.send(Answer::Decided(decision));
        ask
    }

    fn show(&self) {
        let paint = self.terminal.paint_err;
        let width = Terminal::width();
        let mark = paint.paint(Style::color(Color::Yellow), "?");
        note(format!("{mark} {}: {}", paint.bold(&harmless_line(&self.request.tool)), harmless(&self.request.reason)));
        match &self.request.preview {
            Some(Preview::Diff { diff: change }) => diff(change, width, paint).iter().for_each(note),
            Some(Preview::Command { command, cwd }) => {
                harmless(command).lines().for_each(|line| note(format!("  {line}")));
                note(paint.dim(&format!("  in {}", harmless_line(cwd))));
            }
            Some(Preview::Text { text }) => harmless(text).lines().take(40).for_each(|line| note(format!("  {line}"))),
            _ => note(format!("  {}", harmless(&self.request.arguments.to_string()))),
        }
    }

    fn offers(&self) -> Vec<Offer> {
        let offer = |choice, text: &str| Offer { choice, text: text.to_owned() };
        let mut offers = vec![offer(Choice::Once, "Yes, this once")];
        if !self.request.leaves_sandbox {
            offers.push(offer(Choice::Session, "Yes, and the same again as long as this chat is open"));
        }
        if !self.always.is_empty() {
            let rules = self.always.iter().map(|r| format!("`{}`", harmless_line(r))).collect::<Vec<_>>();
            offers.push(offer(Choice::Always, &format!("Always: save the rule {}", rules.join(" and "))));
        }
        offers.push(offer(Choice::No, "No"));
        offers
    }

    fn keep(&self) -> Decision {
        for rule in &self.always {
            if let Err(e) = (self.save)(rule) {
                note(format!("the rule could not be saved, the call is allowed this once: {e}"));
            }
        }
        Decision::Allow(GrantScope::Once)
    }
}

fn choose(offers: Vec<Offer>, colours: bool) -> Result<(Choice, String), InquireError> {
    // What was typed before the question was there is no answer to it.
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
    let config = if colours { RenderConfig::default_colored() } else { RenderConfig::empty() };
    let select = Select::new("May it run?", offers).with_scorer(&by_beginning);
    let select = select.with_render_config(config).without_help_message();
    let chosen = select.prompt()?.choice;
    let mut reason = String::new();
    if chosen == Choice::No {
        let ask = Text::new("Why not? (for the model; Enter for no reason)").with_render_config(config);
        reason = ask.prompt()?;
    }
    Ok((chosen, reason))
}

/// Typed letters leave the offers that begin with them, in their order: `n` is no, wherever else an `n` stands.
pub(crate) fn by_beginning<T>(typed: &str, _: &T, offer: &str, place: usize) -> Option<i64> {
    let begins = offer.to_lowercase().starts_with(&typed.trim().to_lowercase());
    begins.then(|| i64::try_from(place).map_or(0, |place| -place))
}

fn deny(reason: &str) -> Decision {
    Decision::Deny { reason: reason.to_owned() }
}

fn denied_with(reason: &str) -> Decision {
    match reason.trim() {
        "" => deny("the user said no"),
        reason => deny(&format!("the user said no: {reason}")),
    }
}

/// The rules that would allow such a call for good; none where a rule that asks would still ask.
fn rules_for(request: &ApprovalRequest, rules: &Rules) -> Vec<String> {
    let asked_by_rule = |key| rules.strictest(&request.tool, key).is_some_and(|r| r.effect() == RuleEffect::Ask);
    let asks_anyway = match request.keys.as_slice() {
        [] => asked_by_rule(None),
        keys => keys.iter().any(|k| asked_by_rule(Some(k))),
    };
    if asks_anyway { Vec::new() } else { request.allow_rules() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use victor::permission::{PermissionKey, Rule};

    use super::*;

    fn request(keys: serde_json::Value, leaves_sandbox: bool) -> ApprovalRequest {
        serde_json::from_value(json!({
            "run_id": "01890000-0000-7000-8000-000000000000", "call": "call_0", "tool": "bash", "arguments": {},
            "effects": ["execute"], "keys": keys, "preview": null, "reason": "runs a program",
            "leaves_sandbox": leaves_sandbox,
        }))
        .unwrap()
    }

    #[test]
    fn always_is_offered_only_where_a_rule_would_do() {
        let command = json!([{"kind": "command", "text": "cargo test"}]);
        let none = Rules::default();
        assert_eq!(rules_for(&request(command.clone(), false), &none), ["bash(cargo test)"]);
        assert!(rules_for(&request(command.clone(), true), &none).is_empty());
        let unsplit = json!([{"kind": "command", "text": "ls"}, {"kind": "unsplit_command", "text": "$(x)"}]);
        assert!(rules_for(&request(unsplit, false), &none).is_empty());
        let asks = Rules::new(vec![Rule::parse(RuleEffect::Ask, "bash(*)", "here").unwrap()]);
        assert!(rules_for(&request(command, false), &asks).is_empty());
    }

    #[test]
    fn what_is_saved_allows_what_was_asked() {
        let path = json!([{"kind": "path", "access": "write", "relative": "a[1]*.txt", "absolute": "/w/a[1]*.txt",
            "outside": false}]);
        let request = request(path, false);
        let [rule] = rules_for(&request, &Rules::default()).try_into().unwrap();
        let rule = Rule::parse(RuleEffect::Allow, &rule, "here").unwrap();
        assert!(rule.matches("bash", request.keys.first()));
        let other = PermissionKey::Path {
            access: victor::permission::Access::Write,
            relative: Some("a1x.txt".into()),
            absolute: "/w/a1x.txt".into(),
            outside: false,
        };
        assert!(!rule.matches("bash", Some(&other)));
    }

    #[test]
    fn a_star_in_a_command_and_the_network_are_not_saved_as_wildcards() {
        let keys = json!([{"kind": "command", "text": "rm *.tmp"}, {"kind": "host", "host": "*"}]);
        let rules: Vec<_> = rules_for(&request(keys, false), &Rules::default())
            .iter()
            .map(|text| Rule::parse(RuleEffect::Allow, text, "here").unwrap())
            .collect();
        let key = |text: &str| PermissionKey::Command { text: text.into() };
        assert!(rules.iter().any(|r| r.matches("bash", Some(&key("rm *.tmp")))));
        assert!(rules.iter().any(|r| r.matches("bash", Some(&PermissionKey::Host { host: "*".into() }))));
        assert!(!rules.iter().any(|r| r.matches("bash", Some(&key("rm -rf x.tmp")))));
    }

    #[tokio::test]
    async fn a_general_yes_does_not_open_the_sandbox() {
        let save: SaveRule = Arc::new(|_| Ok(()));
        let (approver, questions) =
            Questions::new(Terminal::detect(None, true), true, Arc::new(|| Arc::new(Rules::default())), save);
        let yes = approver.ask(&request(json!([]), false)).await;
        assert_eq!(yes, Answer::Decided(Decision::Allow(GrantScope::Once)));
        drop(questions);
        let no = approver.ask(&request(json!([]), true)).await;
        assert!(matches!(no, Answer::Decided(Decision::Deny { .. })), "{no:?}");
    }
}
