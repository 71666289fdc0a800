//! Random histories: any graph of merges, with trees that any merge strategy could have left.

use std::collections::BTreeMap;

use super::super::Import;
use super::history::Edit::{File, Gone};
use super::history::{History, text};
use super::model::check;

const PATHS: [&str; 6] = ["a", "b", "dir/a", "dir/b", "dir/c/d", "e é"];
const COMMITS: usize = 30;

/// Numerical Recipes' 64-bit generator: the histories must be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

type Tree = BTreeMap<&'static str, String>;

#[test]
fn random_histories_keep_the_laws() {
    for seed in 0..25 {
        let mut random = Random(seed);
        let mut history = History::default();
        let mut trees: Vec<Tree> = Vec::new();
        for index in 0..COMMITS {
            let parents = parents(&mut random, index);
            let mut tree = parents.first().map(|parent| trees[*parent].clone()).unwrap_or_default();
            let before = tree.clone();
            (0..random.below(4)).for_each(|_| change(&mut random, &mut tree, &trees));
            let names: Vec<String> = parents.iter().map(usize::to_string).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let gone =
                before.keys().filter(|path| !tree.contains_key(*path)).map(|path| Gone(path.as_bytes()));
            let kept = tree.iter().map(|(path, content)| File(path.as_bytes(), content));
            history.commit(&index.to_string(), &names, &gone.chain(kept).collect::<Vec<_>>());
            trees.push(tree);
        }
        let written = history.write();
        let (all, skipped) = check(&written);
        assert!(skipped.is_empty());
        let middle = &all[all.len() / 2];
        let mut import =
            Import::start(&written.repository, &written.main_line, Some(&middle.commit)).unwrap();
        let rest: Vec<_> = std::iter::from_fn(|| import.next().unwrap()).collect();
        assert_eq!(rest, all[all.len() / 2 + 1..], "seed {seed}");
    }
}

/// None for a root, else one to three; the last commits merge much, so that most of the graph is reachable.
fn parents(random: &mut Random, index: usize) -> Vec<usize> {
    if index == 0 || (index < COMMITS - 1 && random.below(15) == 0) {
        return Vec::new();
    }
    let mut parents = vec![index - 1 - random.below(index.min(5))];
    for _ in 0..random.below(3) {
        let other = index - 1 - random.below(index.min(8));
        if !parents.contains(&other) {
            parents.push(other);
        }
    }
    parents
}

/// An edit, a deletion, a rename with or without a change, or a file as some other commit has it.
fn change(random: &mut Random, tree: &mut Tree, trees: &[Tree]) {
    let path = PATHS[random.below(PATHS.len())];
    match random.below(5) {
        0 => drop(tree.remove(path)),
        1 => drop(tree.insert(path, text(&random.below(4).to_string()))),
        2 if !trees.is_empty() => {
            let other = &trees[random.below(trees.len())];
            match other.get(path) {
                Some(content) => drop(tree.insert(path, content.clone())),
                None => drop(tree.remove(path)),
            }
        }
        _ => {
            let to = PATHS[random.below(PATHS.len())];
            if let Some(mut content) = tree.remove(path) {
                if random.below(2) == 0 {
                    content += "more\n";
                }
                tree.insert(to, content);
            }
        }
    }
}
