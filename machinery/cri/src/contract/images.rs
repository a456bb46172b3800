//! Images: what is present, and what is not.

use super::Suite;
use crate::v1::*;

impl Suite<'_> {
    pub(super) async fn images(&self) {
        let spec = |name: &str| Some(ImageSpec { image: name.into(), ..Default::default() });
        let request = ImageStatusRequest { image: spec(&self.params.image), verbose: false };
        let image = self.client.image_status(request).await.expect("ImageStatus works").image;
        let image = image.expect("the image is present");
        assert!(!image.id.is_empty() && image.size > 0);
        let listed = self.client.list_images(ListImagesRequest::default()).await.expect("ListImages works");
        assert!(listed.images.iter().any(|listed| listed.id == image.id), "ListImages holds the image");
        let filter = Some(ImageFilter { image: spec(&image.id) });
        let listed = self.client.list_images(ListImagesRequest { filter }).await.expect("ListImages filters");
        assert_eq!(listed.images.iter().map(|i| &i.id).collect::<Vec<_>>(), [&image.id]);

        let missing = ImageStatusRequest { image: spec("contract.invalid/none:1"), verbose: false };
        let response = self.client.image_status(missing).await.expect("an absent image is no error");
        assert!(response.image.is_none());
        let remove = RemoveImageRequest { image: spec("contract.invalid/none:1") };
        self.client.remove_image(remove).await.expect("removing an absent image is no error");
        self.client.image_fs_info(ImageFsInfoRequest {}).await.expect("ImageFsInfo works");
    }
}
