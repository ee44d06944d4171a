PYTHON ?= python3
BIN := .venv/bin
# The installers compile nothing, as only a part is ever imported: so Python must keep what it compiles, or every process
# would compile torch and gradio anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: app test browser screenshots lint

app: .venv/app  ## serve the demo on http://127.0.0.1:7860
	$(BIN)/python app.py

test: .venv/dev  ## run the whole suite; with HAM10000_DIR set, the tests on the real data too
	-@[ -z "$$CI" ] || $(MAKE) --no-print-directory browser  # there the tests in a browser may not be skipped
	$(BIN)/python -m pytest -n auto --dist loadfile

browser: .venv/dev  ## a Chromium for the tests in a browser, where there is none
	@PYTHONPATH=tests $(BIN)/python -c 'import browser; exit(not browser.find_browser())' || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; \
	then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium; \
	else $(BIN)/playwright install chromium; fi

screenshots: .venv/dev  ## the pictures of the README, from the running app
	$(BIN)/python tests/make_screenshots.py

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed; give one with make PYTHON=..." if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }  # half a venv would stop every later make
	-$(BIN)/python -m pip install --quiet uv

# uv takes a third of pip's time; pip where it is missing or fails, as it does not read pip's settings
install = $(BIN)/uv pip install --quiet --python $(BIN)/python -r $(1) || \
	$(BIN)/python -m pip install --quiet --no-compile -r $(1)

.venv/app: requirements.txt | $(BIN)/python
	$(call install,requirements.txt)
	touch $@

.venv/dev: requirements.txt requirements-dev.txt | $(BIN)/python
	$(call install,requirements-dev.txt)
	touch $@
