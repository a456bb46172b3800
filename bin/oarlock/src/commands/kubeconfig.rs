//! `oarlock kubeconfig`: the administrator's kubeconfig, on standard output.

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::settings::Place;

pub(crate) fn run(place: &Place) -> Result<()> {
    print!("{}", read(&Layout::new(&place.data_dir))?);
    Ok(())
}

pub(crate) fn read(layout: &Layout) -> Result<String> {
    let path = layout.kubeconfig();
    std::fs::read_to_string(&path)
        .with_context(|| format!("read {}: has a cluster been started with this --data-dir?", path.display()))
}
