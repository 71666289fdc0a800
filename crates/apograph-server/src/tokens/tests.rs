use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

#[test]
fn every_role_has_a_private_file_and_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path()).unwrap();
    let tokens = Tokens::load(folder.path()).unwrap();
    for role in TokenRole::ALL {
        let path = token_path(folder.path(), role);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let principal = tokens.recognise(text.trim()).unwrap();
        assert_eq!((principal.role, principal.name.as_str()), (role, role.file_stem()));
    }
    let stored = folder.path().join("tokens.json");
    assert_eq!(std::fs::metadata(&stored).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(stored).unwrap().contains("apo_"), "plain tokens are not stored there");
}

#[test]
fn strangers_the_expired_and_the_revoked_are_not_recognised() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path()).unwrap();
    let tokens = Tokens::load(folder.path()).unwrap();
    for text in ["", "apo_a_", "apo_a_0000000000000000000000000000000000000000000000000000000000000000"] {
        assert_eq!(tokens.recognise(text), None);
    }
    let expired = add(folder.path(), TokenRole::Editor, "old", Some("2001-01-01T00:00:00Z")).unwrap();
    let fresh = add(folder.path(), TokenRole::Editor, "fresh", Some("2999-01-01T00:00:00Z")).unwrap();
    std::thread::sleep(crate::limits::TOKENS_LOOK_INTERVAL + Duration::from_millis(50));
    assert_eq!(tokens.recognise(&expired), None);
    let principal = tokens.recognise(&fresh).unwrap();
    assert_eq!(principal.name, "fresh");
    std::fs::write(folder.path().join("tokens.json"), r#"{"tokens":[]}"#).unwrap();
    std::thread::sleep(crate::limits::TOKENS_LOOK_INTERVAL + Duration::from_millis(50));
    assert!(!tokens.still_good(&principal));
}

#[test]
fn a_second_creation_changes_nothing_and_a_broken_file_keeps_the_old_tokens() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path()).unwrap();
    let text = std::fs::read_to_string(token_path(folder.path(), TokenRole::Admin)).unwrap();
    create(folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(token_path(folder.path(), TokenRole::Admin)).unwrap(), text);
    let tokens = Tokens::load(folder.path()).unwrap();
    std::fs::write(folder.path().join("tokens.json"), "{").unwrap();
    std::thread::sleep(crate::limits::TOKENS_LOOK_INTERVAL + Duration::from_millis(50));
    assert!(tokens.recognise(text.trim()).is_some());
    assert!(Tokens::load(folder.path()).is_err());
}
