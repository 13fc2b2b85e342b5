"""Statements and invoices on paper: one sheet, as a page of HTML and as a PDF."""

from sipshop.console.paper.page import POLICY, page_of
from sipshop.console.paper.pdf import pdf_of
from sipshop.console.paper.sheet import Sheet, sheet_of

__all__ = ["POLICY", "Sheet", "page_of", "pdf_of", "sheet_of"]
