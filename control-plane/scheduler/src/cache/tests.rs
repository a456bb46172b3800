use super::*;
use crate::testing::{PodBuilder, node, pod};

fn load(cache: &mut Cache, snapshot: &mut Snapshot, name: &str) -> Option<(i64, i64)> {
    cache.update(snapshot);
    snapshot.get(name).map(|node| (node.pods, node.requested.milli_cpu))
}

fn info(pod: PodBuilder) -> Arc<PodInfo> {
    Arc::new(pod.info())
}

#[test]
fn an_assumed_pod_counts_until_it_is_forgotten_and_once_when_it_is_bound() {
    let (mut cache, mut seen) = (Cache::default(), Snapshot::default());
    assert!(cache.set_node(node("n").facts().into()).is_none());
    let web = info(pod("web").asks("1", "1"));
    cache.assume(web.clone(), "n".into());
    assert_eq!(load(&mut cache, &mut seen, "n"), Some((1, 1000)));
    assert!(cache.forget(&web.uid));
    assert_eq!(load(&mut cache, &mut seen, "n"), Some((0, 0)));
    cache.assume(web.clone(), "n".into());
    cache.set_pod(info(pod("web").asks("1", "1").on("n")));
    assert!(!cache.forget(&web.uid), "the watch knows better");
    assert_eq!(load(&mut cache, &mut seen, "n"), Some((1, 1000)));
    cache.remove_pod(&web.uid);
    assert_eq!(load(&mut cache, &mut seen, "n"), Some((0, 0)));
}

#[test]
fn a_pod_bound_elsewhere_or_resized_moves_its_load() {
    let (mut cache, mut seen) = (Cache::default(), Snapshot::default());
    cache.set_node(node("a").facts().into());
    cache.set_node(node("b").facts().into());
    cache.assume(info(pod("web").asks("1", "1")), "a".into());
    cache.set_pod(info(pod("web").asks("1", "1").on("b")));
    assert_eq!(load(&mut cache, &mut seen, "a"), Some((0, 0)));
    assert_eq!(load(&mut cache, &mut seen, "b"), Some((1, 1000)));
    cache.set_pod(info(pod("web").asks("2", "1").on("b")));
    assert_eq!(load(&mut cache, &mut seen, "b"), Some((1, 2000)));
}

#[test]
fn pods_may_come_before_their_node_and_stay_after_it() {
    let (mut cache, mut seen) = (Cache::default(), Snapshot::default());
    cache.set_pod(info(pod("web").asks("1", "1").on("n")));
    assert_eq!(load(&mut cache, &mut seen, "n"), None);
    cache.set_node(node("n").facts().into());
    assert_eq!(load(&mut cache, &mut seen, "n"), Some((1, 1000)));
    cache.remove_node("n");
    assert_eq!(load(&mut cache, &mut seen, "n"), None);
    cache.set_node(node("n").facts().into());
    assert_eq!(load(&mut cache, &mut seen, "n"), Some((1, 1000)));
    cache.remove_node("n");
    cache.remove_pod(&info(pod("web")).uid);
    assert_eq!(cache.sizes(), (0, 0), "nothing is left behind");
}
