"""What is read of the headers of images, and of images in requests."""

import pytest

from llamakeep.domain.images import LARGEST_IMAGE, Header, read_header
from llamakeep.errors import InvalidRequest
from llamakeep.schemas.images import read_base64, read_image
from tests.images import EXTENDED, GIF, JPEG, LOSSLESS, WEBP, data_url, image, png

PNG = png()
WHERE = "messages[2].content[1].image_url"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "png"),
        (GIF, "gif"),
        (GIF.replace(b"89a", b"87a"), "gif"),
        (JPEG, "jpeg"),
        (JPEG.replace(b"\xff\xc0", b"\xff\xff\xff\xc2"), "jpeg"),
        (WEBP, "webp"),
        (LOSSLESS, "webp"),
        (EXTENDED, "webp"),
    ],
)
def test_the_size_of_an_image_is_in_its_header(data: bytes, kind: str) -> None:
    assert read_header(data) == Header(f"image/{kind}", 2, 3)


@pytest.mark.parametrize("data", [PNG, GIF, JPEG, WEBP, LOSSLESS, EXTENDED])
def test_an_image_whose_header_is_broken_off_is_refused(data: bytes) -> None:
    for length in range(1, 13 if data is GIF else 30):
        if data is JPEG and length >= len(JPEG) - 2:
            break
        with pytest.raises(ValueError, match=r"broken off|no PNG"):
            read_header(data[:length])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "no PNG, JPEG, GIF or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG, JPEG, GIF or WebP"),
        (b"RIFF\0\0\0\0WAVEfmt " + bytes(40), "no PNG, JPEG, GIF or WebP"),
        (b"RIFF\0\0\0\0WEBPVP9 " + bytes(40), "broken off"),
        (png((0, 3)), "no pixels"),
        (png((60_000, 60_000)), "60000 by 60000 pixels"),
        (png((2**31, 2**31)), "Scale it down"),
        (PNG + bytes(LARGEST_IMAGE), "10 MiB are possible"),
        (JPEG[:4] + b"\0\0" * 40, "broken off"),
        (b"\xff\xd8" + b"\xff" * 1_000_000, "broken off"),
        (b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000, "broken off"),
        (b"\xff\xd8" + b"\xff\xd0" * 1_000_000, "broken off"),
    ],
)
def test_what_no_model_should_be_given_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_header(data)


@pytest.mark.parametrize(
    "url",
    [
        data_url(PNG),
        data_url(PNG, "image/jpg"),
        data_url(PNG).replace("data:", "DATA:"),
        data_url(PNG, "image/png;charset=utf-8"),
        data_url(PNG, ""),
        "\n".join([data_url(PNG)[:40], data_url(PNG)[40:]]),
    ],
)
def test_what_an_image_is_its_bytes_say(url: str) -> None:
    found = read_image(url, WHERE, detail="low")

    assert found == image(PNG, detail="low")
    assert found.data == PNG


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "has to be a `data:` or an `https:` URL"),
        (7, "has to be a `data:` or an `https:` URL"),
        ("", "has to be an `https:` URL"),
        ("cat.png", "has to be an `https:` URL"),
        ("http://example.com/cat.png", "has to be an `https:` URL"),
        ("file:///etc/passwd", "has to be an `https:` URL"),
        ("ftp://example.com/cat.png", "has to be an `https:` URL"),
        ("https://", "no `https:` URL"),
        ("https:///cat.png", "no `https:` URL"),
        ("https://example.com:99999/", "no `https:` URL"),
        ("https://[::1/", "no `https:` URL"),
        ("https://example.com/a cat.png", "no `https:` URL"),
        ("https://example.com/\u00e4.png", "no `https:` URL"),
        ("https://example.com/>![](x)", "no `https:` URL"),
        (f"https://example.com/{'x' * 8192}", "at most 8192"),
        ("data:image/png,abc", "has to have base64"),
        ("data:application/pdf;base64,JVBERi0=", "has to be an image"),
        ("data:image/png;base64,", "empty"),
        ("data:image/png;base64,????", "not valid base64"),
        ("data:image/png;base64,iVBOR", "not valid base64"),
        ("data:image/png;base64,\u00e9\u00e9\u00e9\u00e9", "not valid base64"),
        (data_url(b"%PDF-1.7"), "no PNG"),
        (data_url(PNG[:20]), "broken off"),
        (data_url(PNG + bytes(LARGEST_IMAGE)), "more than 10 MiB"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_place(url: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        read_image(url, WHERE)

    [error] = refused.value.errors
    assert error.field == WHERE


def test_an_unknown_detail_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="auto, low, high, original"):
        read_image(data_url(PNG), WHERE, detail="lowest")


def test_an_address_is_kept_as_it_is() -> None:
    found = read_image("HTTPS://example.com:8443/cat.png?a=b#c", WHERE)

    assert found.url == "HTTPS://example.com:8443/cat.png?a=b#c"
    assert found.sha256 is None


def test_base64_alone_is_read_like_a_data_url() -> None:
    encoded = data_url(PNG).partition(",")[2]

    assert read_base64(encoded, WHERE, "image/png") == image(PNG)
    with pytest.raises(InvalidRequest, match="has to be an image"):
        read_base64(encoded, WHERE, "text/plain")
    with pytest.raises(InvalidRequest, match="has to be base64"):
        read_base64(None, WHERE, "image/png")
