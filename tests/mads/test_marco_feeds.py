"""Feeds and sitemaps as text, and XML that is not read."""

from __future__ import annotations

import pytest

from cenoby.mads.marco.feeds import read_xml
from cenoby.mads.marco.parsed import Reading
from tests.bombs import billion_laughs, external_entity

RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>News</title><item><title>One</title>
<link>/1</link><pubDate>Mon</pubDate><description>&lt;p&gt;About &lt;b&gt;it&lt;/b&gt;&lt;script&gt;x&lt;/script&gt;
</description></item><!-- no --></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Blog</title><entry><title>A &amp; B</title>
<link rel="self" href="https://x.example/self"/><link href="https://x.example/a"/><updated>2026</updated>
<summary>Short</summary></entry></feed>"""
SITEMAP = b"""<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://x.example/p</loc>
<lastmod>2026-01-01</lastmod></url><url><loc>javascript:no</loc></url></urlset>"""


def read(body: bytes, charset: str = "") -> Reading:
    return read_xml(body, "https://x.example/feed", charset, 0, 1000, 10)


def test_entries_of_feeds_and_sitemaps() -> None:
    """Title, date, link and summary of each entry; markup in it is text, and only web links are links."""
    rss, atom, sitemap = read(RSS), read(ATOM), read(SITEMAP)
    assert (rss.title, rss.text) == ("News", "One | Mon | /1\nAbout it")
    assert rss.links == (("One", "https://x.example/1"),)
    assert (atom.title, atom.text) == ("Blog", "A & B | 2026 | https://x.example/a\nShort")
    assert atom.links == (("A & B", "https://x.example/a"),)
    assert sitemap.links == (("", "https://x.example/p"),)
    latin = '<?xml version="1.0" encoding="iso-8859-1"?><rss><channel><title>Tür</title></channel></rss>'
    assert read(latin.encode("latin-1")).title == "Tür"


@pytest.mark.parametrize(
    "body",
    [
        billion_laughs(),
        external_entity("file:///etc/passwd"),
        external_entity("http://169.254.169.254/"),
        b"<!DOCTYPE rss><rss/>",
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg/>',
        '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "b">]><rss>&a;</rss>'.encode("utf-16"),
    ],
)
def test_what_declares_a_document_type_is_not_read(body: bytes) -> None:
    """No entity unfolds or reads anything, in any character set, because nothing that could declare one is read."""
    found = read(body)
    assert "document type" in found.problem and found.text == ""


def test_other_xml_is_text() -> None:
    """What is no feed comes back as it stands; damaged XML is told as such."""
    assert read(b"<a><b>c</b></a>").text == "<a><b>c</b></a>"
    assert "damaged" in read(b"<a><b></a>").problem
