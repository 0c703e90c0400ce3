"""The HiMatch network and its objective."""
