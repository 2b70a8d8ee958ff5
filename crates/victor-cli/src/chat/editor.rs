//! The line editor, on a thread of its own: history, several lines, completion.

use std::borrow::Cow;
use std::sync::mpsc::Sender;

use reedline::{
    ColumnarMenu, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode,
    PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, ValidationResult, Validator,
    default_emacs_keybindings,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;
use victor::permission::Mode;

use super::complete::Completions;
use super::lines::Line;
use crate::app::App;
use crate::exit::Failure;
use crate::render::style::Paint;

/// Lines that the history keeps.
const HISTORY: usize = 2_000;
const MENU: &str = "completions";

/// The editor's handle.
pub(super) struct Editor {
    prompts: Sender<ModePrompt>,
    lines: mpsc::Receiver<std::io::Result<Signal>>,
    /// The terminal as it was, for when the editor is left in the middle of a line.
    terminal: Option<Termios>,
}

impl Editor {
    /// Starts the editor; it shows nothing before the first line is asked for.
    pub(super) fn start(app: &App, completions: Completions, no_save: bool) -> Self {
        let terminal = tcgetattr(std::io::stdin()).ok();
        let mut editor = build(app, completions, no_save);
        let (prompts, asked) = std::sync::mpsc::channel::<ModePrompt>();
        let (sender, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            for prompt in asked {
                let line = editor.read_line(&prompt).map_err(std::io::Error::other);
                let _ = editor.sync_history();
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { prompts, lines, terminal }
    }

    /// The next line.
    pub(super) async fn read(&mut self, mode: Mode) -> Result<Line, Failure> {
        let _ = self.prompts.send(ModePrompt { mode });
        let line = self.lines.recv().await.unwrap_or(Ok(Signal::CtrlD));
        match line.map_err(|e| Failure::failed(format!("the terminal cannot be read: {e}")))? {
            Signal::Success(text) => Ok(Line::Text(text.replace("\\\n", "\n"))),
            Signal::CtrlC => Ok(Line::Interrupt),
            _ => Ok(Line::End),
        }
    }

    /// Gives the terminal back while the editor still reads it.
    pub(super) fn give_up(&self) {
        if let Some(state) = &self.terminal {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, state);
        }
    }
}

fn build(app: &App, completions: Completions, no_save: bool) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let new_line = || ReedlineEvent::Edit(vec![EditCommand::InsertNewline]);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, new_line());
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::Enter, new_line());
    let complete = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(complete));
    let menu = ColumnarMenu::default().with_name(MENU).with_marker("› ");
    let mut editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_validator(Box::new(Unfinished))
        .with_completer(Box::new(completions))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_ansi_colors(app.terminal.paint == Paint::on())
        .use_bracketed_paste(true);
    if !no_save
        && let Some(path) = app.history_file()
        && let Ok(history) = FileBackedHistory::with_file(HISTORY, path)
    {
        editor = editor.with_history(Box::new(history));
    }
    editor
}

/// A line that ends in a backslash goes on.
struct Unfinished;

impl Validator for Unfinished {
    fn validate(&self, line: &str) -> ValidationResult {
        if line.ends_with('\\') { ValidationResult::Incomplete } else { ValidationResult::Complete }
    }
}

/// `› `, after the mode's name where it is not the usual one.
struct ModePrompt {
    mode: Mode,
}

impl Prompt for ModePrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        match self.mode {
            Mode::Build => Cow::Borrowed(""),
            mode => Cow::Owned(format!("{} ", mode.name())),
        }
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("› ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("· ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("search `{}`: ", search.term))
    }
}
