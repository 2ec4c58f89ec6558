"""What all HTML pages share: pictures and charts."""
