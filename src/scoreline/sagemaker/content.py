"""What stands behind the addresses of a deployment now, so that new content under an old address is deployed as new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scoreline.aws.address import EcrRegistry, ecr_of
from scoreline.errors import DeployError, SettingError, SourceAwayError, SourceContentError
from scoreline.sagemaker.plan import Deployment

LATEST = "latest"


def image_of(wanted: Deployment) -> tuple[EcrRegistry | None, str, str | None]:
    """Return registry, name and tag of an image; no registry where it is not ECR's, no tag where it has a digest."""
    host, _, rest = wanted.image.partition("/")
    name, has_digest, _ = rest.partition("@")
    name, _, tag = name.partition(":")
    return ecr_of(host), name, None if has_digest else tag or LATEST


def region_of(wanted: Deployment, asked: str | None) -> str | None:
    """Return the region to deploy in: the image's, which SageMaker takes from its own region alone.

    Raises
    ------
    SettingError
        Another one was asked for.
    """
    ecr, _, _ = image_of(wanted)
    if ecr is not None and asked not in (None, ecr.region):
        raise SettingError(f"--region {asked}: the image is in {ecr.region}, and SageMaker takes it from its own "
                           f"region alone. Push it to {asked} too, or leave --region out.")  # fmt: skip
    return asked if ecr is None else ecr.region


def settle(wanted: Deployment, say: Callable[[str], None]) -> Deployment:
    """Return the deployment with its image by digest, and with the ETag of its model package.

    Raises
    ------
    AwsError
        ECR can't be asked, or refuses.
    DeployError
        There is no such image, or no such model package.
    """
    ecr, name, tag = image_of(wanted)
    if ecr is not None and tag is not None:
        from scoreline.aws.ecr import Ecr

        digest = Ecr(ecr.region).digest_of(ecr.account, name, tag)
        if digest is None:
            raise DeployError(
                f"--image {wanted.image}: ECR has no such image. Push it first: scoreline push --repository "
                f"{ecr.host}/{name}"
            )
        wanted = replace(wanted, image=f"{ecr.host}/{name}@{digest}")
    return replace(wanted, content="" if wanted.model_data is None else _etag_of(wanted.model_data, say))


def _etag_of(url: str, say: Callable[[str], None]) -> str:
    from scoreline.aws.s3 import S3Folder

    folder, _, name = url.rpartition("/")
    source = S3Folder(f"{folder}/")
    try:
        with source.open([name], known_etag=None) as found:
            return "" if found is None else found.etag
    except SourceContentError as error:
        raise DeployError(f"--model-data: {error}") from error
    except SourceAwayError as error:  # the role of the endpoint must see it, who deploys need not
        say(
            f"deploy: the model package can't be looked at, so that new content under this address is not seen. {error}"
        )
        return ""
    finally:
        source.close()
