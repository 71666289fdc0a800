//! Who has to come before whom, and rings in that.

use std::collections::VecDeque;

/// A graph of numbered nodes, with a label on each edge.
#[derive(Debug)]
pub(super) struct Graph<L> {
    edges: Vec<Vec<(usize, L)>>,
}

impl<L: Copy> Graph<L> {
    pub(super) fn new(nodes: usize) -> Graph<L> {
        Graph { edges: (0..nodes).map(|_| Vec::new()).collect() }
    }

    /// One more node.
    pub(super) fn node(&mut self) -> usize {
        self.edges.push(Vec::new());
        self.edges.len() - 1
    }

    pub(super) fn edge(&mut self, from: usize, to: usize, label: L) {
        if from != to {
            self.edges[from].push((to, label));
        }
    }

    /// One ring of each tangle, a shortest one through its first node: each node with the label of the edge that leaves it.
    pub(super) fn rings(&self) -> Vec<Vec<(usize, L)>> {
        let part = self.parts();
        let mut sizes = vec![0; self.edges.len()];
        part.iter().for_each(|part| sizes[*part] += 1);
        let mut seen = vec![false; self.edges.len()];
        let mut rings = Vec::new();
        for node in 0..self.edges.len() {
            if sizes[part[node]] > 1 && !std::mem::replace(&mut seen[part[node]], true) {
                rings.extend(self.ring(node, &part));
            }
        }
        rings
    }

    /// A shortest way from a node back to it, within its part.
    fn ring(&self, start: usize, part: &[usize]) -> Option<Vec<(usize, L)>> {
        let mut from: Vec<Option<(usize, L)>> = vec![None; self.edges.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (to, label) in self.edges[node].iter().filter(|(to, _)| part[*to] == part[start]) {
                if from[*to].is_none() {
                    from[*to] = Some((node, *label));
                    queue.push_back(*to);
                }
            }
        }
        let (mut ring, mut at) = (Vec::new(), start);
        loop {
            let (before, label) = from[at]?;
            ring.push((before, label));
            at = before;
            if at == start {
                ring.reverse();
                return Some(ring);
            }
        }
    }

    /// Nodes that reach each other have the same number (Tarjan 1972, without recursion).
    fn parts(&self) -> Vec<usize> {
        const NONE: usize = usize::MAX;
        let count = self.edges.len();
        let (mut index, mut low, mut part) = (vec![NONE; count], vec![0; count], vec![NONE; count]);
        let (mut next, mut parts, mut open, mut calls) = (0, 0, Vec::new(), Vec::new());
        for start in 0..count {
            if index[start] != NONE {
                continue;
            }
            calls.push((start, 0));
            while let Some((node, edge)) = calls.pop() {
                if edge == 0 {
                    (index[node], low[node]) = (next, next);
                    next += 1;
                    open.push(node);
                }
                match self.edges[node].get(edge) {
                    Some((to, _)) => {
                        calls.push((node, edge + 1));
                        if index[*to] == NONE {
                            calls.push((*to, 0));
                        } else if part[*to] == NONE {
                            low[node] = low[node].min(index[*to]);
                        }
                    }
                    None => {
                        if low[node] == index[node] {
                            while let Some(of) = open.pop() {
                                part[of] = parts;
                                if of == node {
                                    break;
                                }
                            }
                            parts += 1;
                        }
                        if let Some((caller, _)) = calls.last() {
                            low[*caller] = low[*caller].min(low[node]);
                        }
                    }
                }
            }
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph<()> {
        let mut graph = Graph::new(nodes);
        edges.iter().for_each(|(from, to)| graph.edge(*from, *to, ()));
        graph
    }

    fn rings(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let rings = graph(nodes, edges).rings();
        rings.into_iter().map(|ring| ring.into_iter().map(|(node, ())| node).collect()).collect()
    }

    #[test]
    fn a_ring_of_each_tangle_is_found_and_none_where_there_is_none() {
        assert_eq!(rings(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]), Vec::<Vec<usize>>::new());
        assert_eq!(rings(2, &[(0, 1), (1, 0)]), [[0, 1]]);
        // The short way round, not the long one.
        assert_eq!(rings(4, &[(0, 1), (1, 2), (2, 3), (3, 0), (1, 0)]), [[0, 1]]);
        assert_eq!(
            rings(6, &[(0, 1), (1, 2), (2, 1), (2, 3), (3, 4), (4, 5), (5, 3)]),
            [vec![1, 2], vec![3, 4, 5]]
        );
    }

    /// Against a search that tries every way.
    #[test]
    fn nodes_are_in_one_part_if_they_reach_each_other() {
        let mut random = crate::random::Random::new(1, 1);
        for _ in 0..300 {
            let nodes = 2 + random.index(7);
            let edges: Vec<(usize, usize)> =
                (0..random.index(14)).map(|_| (random.index(nodes), random.index(nodes))).collect();
            let mut reaches = vec![vec![false; nodes]; nodes];
            edges.iter().for_each(|(from, to)| reaches[*from][*to] = true);
            for by in 0..nodes {
                for from in 0..nodes {
                    for to in 0..nodes {
                        reaches[from][to] |= reaches[from][by] && reaches[by][to];
                    }
                }
            }
            let part = graph(nodes, &edges).parts();
            for (one, other) in (0..nodes).flat_map(|one| (0..one).map(move |other| (one, other))) {
                let both = reaches[one][other] && reaches[other][one];
                assert_eq!(part[one] == part[other], both, "{edges:?}");
            }
        }
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let edges: Vec<(usize, usize)> = (0..200_000).map(|node| (node, (node + 1) % 200_001)).collect();
        assert_eq!(graph(200_001, &edges).rings().len(), 0);
    }
}
