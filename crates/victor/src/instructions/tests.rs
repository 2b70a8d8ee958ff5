use super::*;

fn surroundings() -> Surroundings {
    Surroundings {
        system: "linux x86_64".to_owned(),
        workspace: "/home/ada/project".into(),
        added: vec!["/home/ada/library".into()],
        git: true,
        shell: Some("bash".to_owned()),
    }
}

#[test]
fn the_whole_prompt_is_as_reviewed() {
    let mut instructions = Instructions::new(surroundings());
    instructions.add("AGENTS.md".to_owned(), "Use tabs.\n", false);
    insta::assert_snapshot!("prompt", instructions.prompt(Mode::Build));
}

#[test]
fn modes_differ_in_their_own_part_only() {
    let instructions = Instructions::new(surroundings());
    for (mode, name, _) in Mode::ALL {
        let prompt = instructions.prompt(mode);
        assert!(prompt.contains(&format!("# Mode\n{name}: ")), "{prompt}");
        assert!(prompt.starts_with(PROMPT));
        assert!(prompt.lines().count() < 60);
        assert_eq!(prompt, instructions.prompt(mode));
    }
}

#[test]
fn project_files_are_read_from_the_root_down() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("AGENTS.md"), "at the root\r\n").unwrap();
    std::fs::write(root.join("a/b/AGENTS.md"), "far below").unwrap();
    let mut instructions = Instructions::new(surroundings());
    let notices = instructions.add_project(&root, &root.join("a/b"), Some("be quick"));
    assert_eq!(notices, Vec::<String>::new());
    let prompt = instructions.prompt(Mode::Build);
    let place = |text: &str| prompt.find(text).unwrap_or_else(|| panic!("{text} is missing in {prompt}"));
    assert!(place("from AGENTS.md\nat the root\n") < place("from a/b/AGENTS.md\nfar below\n"));
    assert!(place("far below") < place("from .victor/init.md\nbe quick\n"));
    let mut elsewhere = Instructions::new(surroundings());
    elsewhere.add_project(&root, Path::new("/"), None);
    assert_eq!(elsewhere.files().collect::<Vec<_>>(), ["AGENTS.md"]);
}

#[test]
fn long_files_are_cut_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::write(root.join("AGENTS.md"), "a line of text\n".repeat(10_000)).unwrap();
    let mut instructions = Instructions::new(surroundings());
    instructions.add_project(&root, &root, None);
    let prompt = instructions.prompt(Mode::Build);
    assert!(prompt.len() < FILE_LIMIT + 8_000);
    assert!(prompt.contains("a line of text\n\n(The file is longer;"), "{}", &prompt[prompt.len() - 200..]);
}

#[test]
fn what_leads_out_or_is_no_text_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    std::fs::create_dir(&root).unwrap();
    let root = root.canonicalize().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "TOP SECRET").unwrap();
    std::os::unix::fs::symlink(&secret, root.join("AGENTS.md")).unwrap();
    let mut instructions = Instructions::new(surroundings());
    let notices = instructions.add_project(&root, &root, None);
    assert!(notices[0].contains("out of the workspace"), "{notices:?}");
    assert!(!instructions.prompt(Mode::Build).contains("SECRET"));

    std::fs::remove_file(root.join("AGENTS.md")).unwrap();
    std::fs::write(root.join("real.md"), "inside").unwrap();
    std::os::unix::fs::symlink("real.md", root.join("AGENTS.md")).unwrap();
    assert!(instructions.add_project(&root, &root, None).is_empty());
    assert!(instructions.prompt(Mode::Build).contains("inside"));
}

#[test]
fn models_with_a_small_window_get_few_words() {
    let mut instructions = Instructions::new(surroundings());
    instructions.add("AGENTS.md".to_owned(), &"Use tabs.\n".repeat(1000), false);
    for (mode, ..) in Mode::ALL {
        let prompt = instructions.short_prompt(mode);
        assert!(prompt.starts_with(SHORT_PROMPT) && prompt.contains("/home/ada/project"), "{prompt}");
        assert!(prompt.contains("# From AGENTS.md\nUse tabs.") && prompt.len() < SHORT_LIMIT + 600, "{}", prompt.len());
    }
}
