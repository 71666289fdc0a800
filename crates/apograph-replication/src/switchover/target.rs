//! Which copy a primary may give its role to.

/// A server that somebody may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it can be reached.
    pub url: Option<&'a str>,
    /// How it stands towards this server; `None` if it does not report any more.
    pub state: Option<&'a str>,
    /// It follows.
    pub is_following: bool,
}

/// Why no copy was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefusal {
    /// This server itself.
    #[error("{name} is this server, and it is the primary already")]
    AlreadyPrimary {
        /// Its name.
        name: String,
    },
    /// No copy that reports is called so.
    #[error("no full copy called {wanted:?} reports to this server; those that do: {}", names(.known))]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// Names of those that report.
        known: Vec<String>,
    },
    /// It is known, and does not follow now.
    #[error("{name} does not follow this server: {state}")]
    DoesNotFollow {
        /// Its name.
        name: String,
        /// What it does.
        state: String,
    },
}

fn names(known: &[String]) -> String {
    if known.is_empty() { "none does".to_owned() } else { known.join(", ") }
}

impl Candidate<'_> {
    fn is_called(&self, wanted: &str) -> bool {
        let url = self.url.map(|url| url.trim_end_matches('/'));
        self.name == wanted || url == Some(wanted.trim_end_matches('/'))
    }
}

/// The copy that `wanted` names, by its name or URL: its place among `copies`.
pub fn target(wanted: &str, me: &Candidate<'_>, copies: &[Candidate<'_>]) -> Result<usize, TargetRefusal> {
    if me.is_called(wanted) {
        return Err(TargetRefusal::AlreadyPrimary { name: me.name.to_owned() });
    }
    let found = copies.iter().enumerate().find(|(_, copy)| copy.is_called(wanted));
    let Some((at, copy)) = found else {
        let known = copies.iter().map(|copy| copy.name.to_owned()).collect();
        return Err(TargetRefusal::Unknown { wanted: wanted.to_owned(), known });
    };
    if copy.is_following && copy.state.is_some() {
        return Ok(at);
    }
    let state = copy.state.unwrap_or("it does not report any more").to_owned();
    Err(TargetRefusal::DoesNotFollow { name: copy.name.to_owned(), state })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy<'a>(name: &'a str, state: Option<&'a str>) -> Candidate<'a> {
        Candidate { name, url: None, state, is_following: state == Some("following") }
    }

    #[test]
    fn the_one_that_is_named_and_follows() {
        let me = Candidate { url: Some("http://127.0.0.1:7700"), ..copy("a", None) };
        let copies = [
            copy("b", Some("following")),
            Candidate { url: Some("http://c:1/"), ..copy("c", Some("following")) },
            copy("d", Some("waiting")),
            copy("e", None),
        ];
        let of = |wanted| target(wanted, &me, &copies).map_err(|refusal| refusal.to_string());
        assert_eq!((of("b"), of("c"), of("http://c:1")), (Ok(0), Ok(1), Ok(1)));
        for mine in ["a", "http://127.0.0.1:7700/"] {
            assert_eq!(of(mine), Err("a is this server, and it is the primary already".to_owned()));
        }
        assert_eq!(of("d"), Err("d does not follow this server: waiting".to_owned()));
        assert_eq!(of("e"), Err("e does not follow this server: it does not report any more".to_owned()));
        let unknown = "no full copy called \"x\" reports to this server; those that do: b, c, d, e";
        assert_eq!(of("x"), Err(unknown.to_owned()));
        let none = target("x", &me, &[]).unwrap_err().to_string();
        assert_eq!(none, "no full copy called \"x\" reports to this server; those that do: none does");
    }
}
