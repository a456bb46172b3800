//! Every target has seeds, and every seed passes: findings of earlier runs are among them.

use oarlock_fuzz::{corpus, targets};

#[test]
fn every_seed_passes() {
    for target in targets::ALL {
        let seeds = corpus::seeds(target.name).expect("every target has a folder of seeds");
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (name, seed) in seeds {
            println!("{}/{name}", target.name);
            (target.run)(&seed);
        }
    }
}

#[test]
fn every_folder_of_seeds_has_a_target() {
    for entry in std::fs::read_dir(corpus::folder()).expect("the corpus is committed") {
        let name = entry.expect("folders can be read").file_name().into_string().expect("names are text");
        assert!(targets::ALL.iter().any(|target| target.name == name), "no target {name}");
    }
}
