"""``python -m napari_wbc_nca`` is the command line."""

from napari_wbc_nca.cli import main

if __name__ == "__main__":
    main()
