//! Which pod has which of the node's pod addresses; pure.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The addresses in use, by pod UID.
#[derive(Debug, Default)]
pub(crate) struct Allocation(BTreeMap<String, IpAddr>);

impl Allocation {
    /// Keeps an address that a pod has already.
    pub(crate) fn keep(&mut self, uid: &str, address: IpAddr) {
        let is_taken = self.0.iter().any(|(other, taken)| *taken == address && other != uid);
        if !is_taken {
            self.0.entry(uid.to_owned()).or_insert(address);
        }
    }

    /// The pod's address: the one it has, or the first free one that `usable` accepts. The first
    /// address of the range is the node's own bridge, as CNI's host-local plugin has it.
    pub(crate) fn take(
        &mut self,
        uid: &str,
        range: IpNet,
        usable: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        if let Some(address) = self.0.get(uid) {
            return Some(*address);
        }
        let is_free = |address: &IpAddr| !self.0.values().any(|taken| taken == address) && usable(*address);
        let address = range.hosts().skip(1).take(MAX_TRIED).find(is_free)?;
        self.0.insert(uid.to_owned(), address);
        Some(address)
    }

    /// Frees a pod's address.
    pub(crate) fn release(&mut self, uid: &str) {
        self.0.remove(uid);
    }
}

/// A node runs fewer pods than this (`maxPods` is 110).
const MAX_TRIED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_get_the_first_free_address_and_keep_it() {
        let range: IpNet = "10.244.1.0/29".parse().unwrap();
        let ip = |last: u8| IpAddr::from([10, 244, 1, last]);
        let mut allocation = Allocation::default();
        allocation.keep("old", ip(3));
        allocation.keep("thief", ip(3));
        let mut take = |uid: &str| allocation.take(uid, range, |address| address != ip(4));
        assert_eq!(take("a"), Some(ip(2)));
        assert_eq!(take("b"), Some(ip(5)), "3 is taken, 4 not usable");
        assert_eq!(take("a"), Some(ip(2)));
        assert_eq!(take("thief"), Some(ip(6)));
        assert_eq!(take("c"), None);
        allocation.release("a");
        assert_eq!(allocation.take("c", range, |_| true), Some(ip(2)));
    }
}
