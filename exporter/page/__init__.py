"""The web page: files that a browser loads as they stand, without a build step."""

from exporter.page.files import Asset, assets, page_html

__all__ = ["Asset", "assets", "page_html"]
