//! `oarlock image …`: the images of the node, through its running runtime.

use std::path::Path;

use anyhow::{Context, Result, bail};
use oarlock_cri::{Client, v1};

use crate::cli::ImageCommand;
use crate::layout::Layout;
use crate::settings::Place;

pub(crate) async fn run(command: ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Import { place, archive } => import(&place, &archive).await,
        ImageCommand::Pull { place, image } => {
            let spec = v1::ImageSpec { image, ..Default::default() };
            let request = v1::PullImageRequest { image: Some(spec), ..Default::default() };
            println!("{}", client(&place)?.pull_image(request).await?.image_ref);
            Ok(())
        }
        ImageCommand::List { place } => list(&place).await,
        ImageCommand::Remove { place, image } => {
            let spec = v1::ImageSpec { image, ..Default::default() };
            client(&place)?.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await?;
            Ok(())
        }
    }
}

fn client(place: &Place) -> Result<Client> {
    let socket = Layout::new(&place.data_dir).runtime_socket();
    if !socket.exists() {
        bail!("no container runtime runs for {}: start `oarlock up` first", place.data_dir.display());
    }
    Ok(Client::connect(socket.display().to_string()))
}

async fn import(place: &Place, archive: &Path) -> Result<()> {
    let socket = Layout::new(&place.data_dir).runtime_socket();
    let reader: Box<dyn std::io::Read + Send> = if archive == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(archive).with_context(|| format!("open {}", archive.display()))?)
    };
    for name in oarlock_runtime::import_archive(&socket, reader).await? {
        println!("{name}");
    }
    Ok(())
}

async fn list(place: &Place) -> Result<()> {
    let images = client(place)?.list_images(v1::ListImagesRequest::default()).await?.images;
    println!("{:<50} {:<15} {:>10}", "IMAGE", "ID", "SIZE");
    for image in images {
        let id = image.id.trim_start_matches("sha256:").get(..12).unwrap_or(&image.id);
        let size = format!("{:.1} MB", image.size as f64 / 1e6);
        let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
        for name in names {
            println!("{name:<50} {id:<15} {size:>10}");
        }
    }
    Ok(())
}
