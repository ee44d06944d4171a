"""One calm look: theme and style sheet. Colours follow the theme's variables, light and dark."""

import gradio as gr

from skin_lesion.classes import CLASSES
from skin_lesion.overlay import css_gradient


def theme() -> gr.themes.Base:
    """White cards on a cool grey, one accent; every text keeps a contrast of at least 4.5 to 1 (WCAG AA)."""
    base = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        # system fonts: the page loads nothing from elsewhere
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        spacing_size="sm",
        radius_size="md",
    )
    return base.set(
        body_background_fill="#f2f5f7",
        body_background_fill_dark="#0b1220",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_shadow="none",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_label_text_weight="600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        border_color_primary_dark="*neutral_700",
        color_accent="*primary_600",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_600",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        checkbox_label_text_color_selected="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )


def _stripes() -> str:
    """Bars of what is not benign are striped: to many an eye melanoma's red is the green of a harmless keratosis."""
    hatched = ", ".join(f'.bars .fill[style*="{c.colour}"]' for c in CLASSES if c.group != "benign")
    return f"{hatched} {{ background-image: {STRIPES} !important; }}\n"


STRIPES = "repeating-linear-gradient(115deg, transparent 0 5px, rgb(0 0 0 / .38) 5px 8px)"

CSS = (
    """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
.gradio-container .main { padding-block: .9rem !important; gap: .6rem !important; }
.gradio-container :focus-visible { outline: 3px solid var(--primary-500) !important; outline-offset: 1px; }
.tabitem { background: var(--block-background-fill); border: 1px solid var(--border-color-primary) !important;
  border-radius: var(--radius-lg) !important; padding: .8rem 1rem !important; }
.tabitem .tabitem { border: 0 !important; padding: .3rem 0 !important; }
.tabitem > .column > .block { border-color: transparent; box-shadow: none; }
.tabitem .html-container, #head .html-container, #credits .html-container, #examples-intro .html-container {
  padding: 0 !important; }
.tab-wrapper { margin-bottom: .35rem !important; padding-bottom: 0 !important; }
.tab-container::after { display: none; }
[role="tab"] { padding-inline: .75rem !important; }
[role="tab"][aria-selected="true"] { font-weight: 600 !important; }
.icon-button-wrapper button, .icon-button-wrapper a, .source-selection button, .reset-button {
  min-width: 24px; min-height: 24px; justify-content: center; }
.icon-button-wrapper .download-link { display: inline-flex; align-items: center; }
#credits p { margin: 0; }
.prose :is(th, td) { border-color: var(--border-color-primary) !important; }
.tabitem .prose h2 { font-size: 1.2rem; line-height: 1.3; }
footer .divider:last-child { display: none; }
#examples, #examples .grid-wrap, #cam-all, #cam-all .grid-wrap {
  height: auto !important; min-height: 0 !important; }
#cam-all .grid-wrap { max-height: none !important; }
#examples .grid-container, #cam-all .grid-container {
  grid-template-columns: repeat(4, minmax(0, 1fr)) !important; height: auto !important;
  grid-auto-rows: auto !important; align-content: start; }
#credits { overflow-wrap: anywhere; }
#examples .grid-container { grid-template-columns: repeat(5, minmax(0, 1fr)) !important; }
#examples .caption-label { max-width: 100%; padding: .05rem .25rem; font-size: .72rem; line-height: 1.25;
  white-space: normal; overflow-wrap: anywhere; hyphens: auto; }
#examples .thumbnail-lg { width: 100% !important; height: auto !important; aspect-ratio: 1; }
#cam-all .thumbnail-lg { width: 100% !important; height: auto !important; }
#cam-measured table { display: block; overflow-x: auto; max-width: 100%; border: 0 !important; }
#cam-measured td, #cam-measured th { padding: .2rem .5rem; font-size: .88rem; white-space: nowrap; }
.answer a, .classes a { color: inherit; text-decoration: underline; padding: 0; }
#head h1 { display: flex; align-items: center; gap: .55rem; margin: 0; font-size: 1.3rem; line-height: 1.25; }
#head h1::before { content: ""; flex: none; width: .78em; height: .78em; border-radius: 50%;
  border: .16em solid var(--color-accent); background: radial-gradient(var(--color-accent) 32%, transparent 38%); }
#head .notice { margin-top: .45rem; }
.notice { --edge: #b45309; border-inline-start: 4px solid var(--edge); padding: .4rem .8rem; border-radius: 6px;
  background: color-mix(in srgb, var(--edge) 9%, var(--block-background-fill)); color: var(--body-text-color);
  font-size: .88rem; line-height: 1.45; }
.dark .notice { --edge: #f59e0b; }
.notice strong { color: inherit; }
.notice.fallback { margin-top: .4rem; }
.notice.fallback, .notice.foreign { --edge: #b91c1c; }
.dark .notice.fallback, .dark .notice.foreign { --edge: #f87171; }
.notice.foreign { margin-bottom: .6rem; }
.notice.quality { margin-bottom: .6rem; }
.notice ul { margin: 0; padding-inline-start: 1.2rem; }
.answer { color: var(--body-text-color); line-height: 1.4; }
.tabitem .answer h2 { margin: 0; font-size: 1.3rem; }
.tabitem .answer h3 { margin: .4rem 0 0; font-size: 1.05rem; }
.answer p { margin: .15rem 0 .5rem; }
.answer .advice { border-inline-start: 4px solid var(--color-accent); border-radius: 6px; padding: .4rem .8rem;
  background: color-mix(in srgb, var(--color-accent) 9%, var(--block-background-fill)); }
.answer .set { font-size: .92rem; line-height: 1.75; }
.answer summary { cursor: pointer; padding: .3rem 0; }
.chip { display: inline-block; border: 2px solid; border-radius: 999px; padding: 0 .6rem; margin-inline-end: .2rem;
  line-height: 1.5; font-weight: 600; background: var(--block-background-fill); }
.bars { list-style: none !important; margin: 0; padding: 0 !important; }
.bars li { margin: 0 0 .3rem; line-height: 1.35; }
.bars .row { display: flex; justify-content: space-between; gap: .8rem; font-size: .92rem; }
.bars .group { color: var(--body-text-color-subdued); white-space: nowrap; }
.bars .value { font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }
.bars .track { height: .5rem; border-radius: 4px; background: var(--border-color-primary); overflow: hidden; }
.bars .fill { height: 100%; border-radius: 4px; min-width: 2px; }
.small { font-size: .88rem; color: var(--body-text-color-subdued); }
.legend { display: flex; align-items: center; gap: .6rem; font-size: .88rem; margin: .3rem 0; }
.legend .ramp { flex: 1; max-width: 260px; height: .7rem; border-radius: 4px;
  background: linear-gradient(to right, GRADIENT); }
.classes { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: .8rem; }
.classes article { border: 1px solid var(--border-color-primary); border-inline-start: 6px solid;
  border-radius: 8px; padding: .7rem .9rem; background: var(--background-fill-primary); color: var(--body-text-color); }
.classes h3 { margin: 0 0 .2rem; font-size: 1.02rem; line-height: 1.3; }
.classes p { margin: .3rem 0; font-size: .92rem; line-height: 1.45; }
#cam-target label span { white-space: normal; }
#batch-table * { font-family: inherit; }
#batch-table td, #batch-table th { font-size: .88rem; }
#batch-table th .cell-menu-button { display: flex !important; }  /* to sort by; else hidden until a click */
#batch-table th .header-content { padding-inline-end: 1.2rem; text-align: start; overflow-wrap: normal; }
#batch-progress progress { width: 100%; }
.api { color: var(--body-text-color); line-height: 1.45; }
.api p { margin: .3rem 0 .6rem; overflow-wrap: anywhere; }
.api h2 { margin: 0 auto 0 0; font-size: 1rem; }
.api figure { margin: 0 0 .8rem; }
.api pre { margin: 0; padding: .6rem .8rem; overflow-x: auto; border-radius: 6px; font-size: .82rem; line-height: 1.45;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
.api pre code { padding: 0; border: 0; background: none; white-space: pre; color: var(--body-text-color); }
.api .copy { display: flex; justify-content: flex-end; align-items: center; gap: .6rem; font-size: .88rem; }
.api .copy button { padding: .15rem .7rem; border: 1px solid currentColor; border-radius: 6px; margin-bottom: .2rem; }
.api .wide { overflow-x: auto; margin: .8rem 0; }
.api caption { text-align: start; font-weight: 600; padding: .2rem 0; }
.api td, .api th { border-color: var(--border-color-primary) !important; padding: .25rem .5rem; font-size: .88rem;
  font-weight: 400; text-align: start; vertical-align: top; }
.api thead th { font-weight: 600; }
[role="tab"] { color: var(--body-text-color) !important; }
/* the Model tab; what stands for a person or a curve keeps 3 to 1 on either background */
:root { --found: #0f766e; --missed: #b91c1c; --alarmed: #b45309; --cleared: #64748b; --cross: #fff; }
.dark { --found: #2dd4bf; --missed: #fca5a5; --alarmed: #fcd34d; --cleared: #94a3b8; --cross: #111827; }
.outcome .people { display: block; width: 100%; max-width: 560px; margin: .3rem 0; }
svg .found { fill: var(--found); } svg .missed { fill: var(--missed); } svg .cleared { fill: var(--cleared); }
svg .alarmed { fill: none; stroke: var(--alarmed); stroke-width: 1.6; }
svg .cross { stroke: var(--cross); stroke-width: 1.4; }
.outcome .counts, .plots .lines { list-style: none !important; margin: .2rem 0 .5rem; padding: 0 !important; }
.outcome .counts li { display: flex; gap: .5rem; align-items: baseline; margin: .1rem 0; }
.outcome .sign { flex: none; width: 1rem; height: 1rem; align-self: center; }
.outcome .counts strong { font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; max-width: 100%; }
.confusion, .plots .numbers { border-collapse: collapse; color: var(--body-text-color); font-size: .88rem; }
.confusion th, .confusion td { padding: .25rem .45rem; text-align: center; border: 1px solid transparent; }
.confusion td { white-space: nowrap; background: color-mix(in srgb, #14b8a6 var(--share), transparent); }
.confusion td span { display: block; font-size: .8rem; }
.confusion td.right { border: 2px solid currentColor; }
.confusion abbr { text-decoration: none; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(280px, 100%), 1fr)); gap: 1rem;
  color: var(--body-text-color); }
.plots figure { margin: 0; min-width: 0; }
.plots .plot { width: 100%; max-width: 400px; font-size: 11px; fill: currentColor; }
.plots figcaption, .plots details { font-size: .88rem; line-height: 1.4; }
.plots .grid { stroke: var(--border-color-primary); fill: none; }
.plots .diagonal { stroke: currentColor; stroke-dasharray: 3 4; fill: none; opacity: .7; }
.plots .interval { stroke: var(--found); stroke-width: 2; }
.plots .point { fill: var(--found); }
.plots .curve { fill: none; stroke-width: 2; stroke: var(--found); }
.plots .curve.malignancy { stroke: var(--alarmed); stroke-dasharray: 6 4; }
.plots .mark { fill: var(--background-fill-primary); stroke-width: 2; stroke: var(--found); }
.plots .mark.malignancy { stroke: var(--alarmed); }
.plots .line { display: inline-block; width: 30px; height: 8px; }
.plots .numbers th, .plots .numbers td { padding: .15rem .5rem; text-align: start; white-space: nowrap; }
.tables table { display: block; overflow-x: auto; max-width: 100%; border: 0 !important; }
.tables td, .tables th { padding: .2rem .5rem; font-size: .88rem; white-space: nowrap; }
.tables td:first-child { white-space: normal; min-width: 9rem; }
@media (max-width: 480px) {
  .gradio-container .main { padding-inline: .6rem !important; }
  [role="tab"] { padding-inline: .55rem !important; font-size: .9rem !important; }
  .tabitem { padding-inline: .7rem !important; }
  .notice { font-size: .85rem; }
  #examples .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
  #examples .grid-wrap { max-height: 17rem; }  /* the answer stands below it */
  #examples .caption-label { padding-inline: .15rem; font-size: .65rem; line-height: 1.2; }
  #cam-all .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
}
@media (min-width: 900px) {
  #picture { position: sticky; top: .6rem; align-self: flex-start; }  /* it stays in sight beside a long tab */
}
@media (prefers-reduced-motion: reduce) {
  .gradio-container * { animation: none !important; transition: none !important; }
}
""".replace("GRADIENT", css_gradient())
    + _stripes()
)
