//! How the payloads of a transaction are spread over its entries.

use crate::limits::{PAYLOADS_BYTES_MAX, PAYLOADS_MAX};
use crate::payload::PAYLOAD_HEADER_BYTES;

/// Payloads of one transaction in one partition, in order, cut into groups that fit an entry each.
///
/// The last group travels with the transaction, those before it in `contents` entries ahead. Every server cuts the
/// same way, so that derived journals are equal wherever they are derived.
pub fn pack<T>(payloads: impl IntoIterator<Item = (T, usize)>) -> Vec<Vec<T>> {
    let mut groups = vec![Vec::new()];
    let mut stored = 0;
    for (payload, bytes) in payloads {
        let bytes = PAYLOAD_HEADER_BYTES + bytes;
        let is_full = |group: &Vec<T>| stored + bytes > PAYLOADS_BYTES_MAX || group.len() == PAYLOADS_MAX;
        if groups.last().is_some_and(|group| !group.is_empty() && is_full(group)) {
            groups.push(Vec::new());
            stored = 0;
        }
        stored += bytes;
        if let Some(group) = groups.last_mut() {
            group.push(payload);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_every_group_fits() {
        assert_eq!(pack(Vec::<(u8, usize)>::new()), vec![Vec::<u8>::new()]);
        let sizes: Vec<usize> = (0..40).map(|n| (n * 7919) % (1 << 20)).collect();
        let groups = pack(sizes.iter().map(|size| (*size, *size)));
        assert_eq!(groups.concat(), sizes);
        for group in &groups {
            let stored: usize = group.iter().map(|size| size + PAYLOAD_HEADER_BYTES).sum();
            assert!(stored <= PAYLOADS_BYTES_MAX);
        }
    }
}
