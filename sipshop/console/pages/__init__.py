"""The pages of people: one web application on the same desk as the API, made of files that lie here.

What is seen and done is decided where it is for the API, in `console/scope`; a page's session is no token of the API.
"""
