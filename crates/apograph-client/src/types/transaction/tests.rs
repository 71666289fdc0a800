use super::*;

#[test]
fn a_transaction_round_trips() {
    let text = r#"{"operations":[{"op":"put","uri":"/a","if_absent":true,"kind":"node","type":"article","properties":{"b": 1, "a":2},"body":"x","media_type":"text/markdown","comment":"c","external":"git:1","made_from":"/b"},{"op":"publish","uri":"/a","version":3},{"op":"withdraw","uri":"/a"},{"op":"trash","uri":"/a","if_version":2},{"op":"restore","uri":"/a"},{"op":"purge","uri":"/a"},{"op":"move","uri":"/a","to":"/b"},{"op":"lock","uri":"/a","owner":"me","seconds":60},{"op":"unlock","uri":"/a"}],"comment":"why","author":"A <a@b>","time":5,"cursor":{"name":"n","previous":"p","position":"q"}}"#;
    let request: TransactionRequest = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&request).unwrap(), text, "the text of the properties is kept");
    assert_eq!(request.operations.len(), 9);
}

#[test]
fn what_does_not_fit_is_refused() {
    let cases = [
        (r#"{"operations":[{"op":"trash","uri":"/a","to":"/b"}]}"#, "a trash has no member `to`"),
        (r#"{"operations":[{"op":"move","uri":"/a"}]}"#, "a move needs the member `to`"),
        (r#"{"operations":[{"op":"lock","uri":"/a"}]}"#, "a lock needs the member `seconds`"),
        (r#"{"operations":[{"op":"put","uri":"/a","if_version":1,"if_absent":true}]}"#, "not several"),
        (r#"{"operations":[{"op":"publish","uri":"/a","if_absent":true}]}"#, "no member `if_absent`"),
        (r#"{"operations":[{"op":"put","uri":"/a","colour":1}]}"#, "unknown field `colour`"),
        (r#"{"operations":[{"op":"put","uri":"/a","uri":"/b"}]}"#, "duplicate field"),
        (r#"{"operations":[{"op":"burn","uri":"/a"}]}"#, "unknown variant `burn`"),
        (r#"{"operations":[{"uri":"/a"}]}"#, "missing field `op`"),
        (r#"{"operation":[]}"#, "unknown field"),
    ];
    for (text, reason) in cases {
        let error = serde_json::from_str::<TransactionRequest>(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason:?} not in {error:?}");
    }
}

#[test]
fn bulk_answers_are_told_apart() {
    let committed = r#"{"timestamp":7,"token":"1.7","results":[{"uri":"/a","version":1,"state":"working"}]}"#;
    let answer: BulkAnswer = serde_json::from_str(committed).unwrap();
    assert!(matches!(answer, BulkAnswer::Committed(answer) if answer.timestamp == Timestamp(7)));
    let refused =
        r#"{"type":"urn:x","title":"Conflict","status":409,"code":"read-only","primary_url":"http://p"}"#;
    let BulkAnswer::Refused(problem) = serde_json::from_str(refused).unwrap() else { panic!() };
    assert_eq!(problem.primary_url(), Some("http://p"));
}
