"""The app's pages; the only package that imports gradio. A tab shows what skin_lesion computes."""
