//! `ImageService` over the fake's state.

use tonic::Status;

use super::FakeRuntime;
use crate::v1::*;

fn name_of(spec: Option<ImageSpec>) -> Result<String, Status> {
    match spec {
        Some(spec) if !spec.image.is_empty() => Ok(spec.image),
        _ => Err(Status::invalid_argument("no image is named")),
    }
}

#[tonic::async_trait]
impl ImageService for FakeRuntime {
    async fn list_images(&self, request: ListImagesRequest) -> Result<ListImagesResponse, Status> {
        let wanted = request.filter.and_then(|filter| filter.image).map(|spec| spec.image);
        let state = self.state.lock();
        let images = match wanted.filter(|name| !name.is_empty()) {
            Some(name) => state.image(&name).cloned().into_iter().collect(),
            None => state.images.values().cloned().collect(),
        };
        Ok(ListImagesResponse { images })
    }

    async fn image_status(&self, request: ImageStatusRequest) -> Result<ImageStatusResponse, Status> {
        let name = name_of(request.image)?;
        Ok(ImageStatusResponse { image: self.state.lock().image(&name).cloned(), ..Default::default() })
    }

    async fn pull_image(&self, request: PullImageRequest) -> Result<PullImageResponse, Status> {
        let name = name_of(request.image)?;
        let mut state = self.state.lock();
        state.called("PullImage")?;
        if !state.pullable.contains(&name) {
            return Err(Status::not_found(format!("failed to pull and unpack image {name:?}: not found")));
        }
        state.add_image(&name);
        Ok(PullImageResponse {
            image_ref: state.image(&name).map(|image| image.id.clone()).unwrap_or_default(),
        })
    }

    async fn remove_image(&self, request: RemoveImageRequest) -> Result<RemoveImageResponse, Status> {
        let name = name_of(request.image)?;
        let mut state = self.state.lock();
        state.called("RemoveImage")?;
        if let Some(id) = state.image(&name).map(|image| image.id.clone()) {
            state.images.retain(|_, image| image.id != id);
        }
        Ok(RemoveImageResponse {})
    }

    async fn image_fs_info(&self, _: ImageFsInfoRequest) -> Result<ImageFsInfoResponse, Status> {
        let used = FilesystemUsage {
            fs_id: Some(FilesystemIdentifier { mountpoint: "/".into() }),
            used_bytes: Some(UInt64Value { value: 1024 }),
            ..Default::default()
        };
        Ok(ImageFsInfoResponse { image_filesystems: vec![used.clone()], container_filesystems: vec![used] })
    }
}
