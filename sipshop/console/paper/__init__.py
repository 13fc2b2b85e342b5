"""Statements and invoices on paper: one sheet, as a page of HTML and as a PDF."""
