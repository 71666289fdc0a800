use super::Code;

/// The list in the documentation is the list in the code, row by row.
#[test]
fn the_documentation_lists_every_code() {
    let documented = include_str!("../../../../docs/formats/problems.md");
    let mut rows: Vec<_> = Code::ALL
        .iter()
        .map(|code| {
            format!("| `{}` | {} | {} | {} |", code.as_str(), code.status(), code.title(), code.next())
        })
        .collect();
    rows.sort();
    let found: Vec<_> =
        documented.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    assert!(found == rows, "docs/formats/problems.md should list:\n{}", rows.join("\n"));
}

#[test]
fn codes_are_unique() {
    let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}
