/** Everything in variables, so that light and dark differ in one place. */
export const STYLE = `
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --faint: #5d6671; --rule: #d8dde3; --mark: #f2f5f9; --heat: #0b5cad; --shade: #0004;
  --c0: #0b5cad; --c1: #c2410c; --c2: #217a3c; --c3: #8b2fa8; --c4: #b3165a; --c5: #0b7285; --c6: #7a6200; --c7: #495057 }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --text: #e4e8ed; --faint: #9aa4b0; --rule: #353d47; --mark: #1e242b; --heat: #6cb6ff; --shade: #fff4;
  --c0: #6cb6ff; --c1: #ff9d6b; --c2: #74d48a; --c3: #d5a3ef; --c4: #ff8fb8; --c5: #66d9e8; --c6: #e6cf5c; --c7: #c3cad2 } }
body { margin: 0 auto; padding: 1.5rem; max-width: 82rem; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.6rem; margin: 0 } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem } h3 { margin: 1.5rem 0 .25rem; font-size: 1rem } h4 { margin: 1rem 0 .25rem }
p, dd { max-width: 50rem } .faint, figcaption, summary { color: var(--faint) } code { overflow-wrap: anywhere }
:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px }
.scroll { overflow-x: auto; padding-bottom: 2px; background: linear-gradient(to left, var(--ground) 40%, transparent) right / 48px 100% no-repeat local, linear-gradient(to left, var(--shade), transparent) right / 14px 100% no-repeat scroll }
.scroll::-webkit-scrollbar { height: 10px } .scroll::-webkit-scrollbar-track { background: var(--mark) } .scroll::-webkit-scrollbar-thumb { background: var(--faint); border-radius: 5px }
@supports not selector(::-webkit-scrollbar) { .scroll { scrollbar-color: var(--faint) var(--mark) } }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; margin-bottom: .5rem }
caption { text-align: left; color: var(--faint); padding: .25rem 0 } caption span { position: sticky; left: 0; display: inline-block; max-width: min(50rem, calc(100vw - 3rem)) }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; vertical-align: top } thead th { white-space: normal; vertical-align: bottom }
th:first-child { position: sticky; left: 0; text-align: left; font-weight: 600; background: var(--ground); background-clip: padding-box } tbody th { white-space: normal; overflow-wrap: anywhere; min-width: min(10rem, 40vw); max-width: min(36rem, 45vw) }
.words { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7rem; max-width: 22rem }
tr.oracle > * { background: var(--mark); font-style: italic } td.best { font-weight: 700 } .pm { display: block; font-size: .85em; font-weight: 400; color: var(--faint) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem } .maps { grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)) } .charts > * { min-width: 0 }
figure { margin: 0 } figure th, figure td { padding: .25rem .3rem } figcaption { font-size: .87rem } svg { width: 100%; height: auto; display: block; overflow: visible } .grid { stroke: var(--rule) } .tick { fill: var(--faint); font-size: 11px } .label { fill: var(--text); font-size: 12px }
.line { fill: none; stroke: var(--own); stroke-width: 1.8 } .series:hover .line { stroke-width: 4 } .series circle { fill: var(--own) } .bar { stroke: var(--own); stroke-width: 1.5; opacity: .7 }
.c0 { --own: var(--c0) } .c1 { --own: var(--c1) } .c2 { --own: var(--c2) } .c3 { --own: var(--c3) } .c4 { --own: var(--c4) } .c5 { --own: var(--c5) } .c6 { --own: var(--c6) } .c7 { --own: var(--c7) }
.d1 .line { stroke-dasharray: 7 4 } .d2 .line { stroke-dasharray: 2 3 } .ground { fill: var(--mark) } ${[1, 2, 3, 4, 5, 6, 7, 8].map((level) => `.q${String(level)} { fill: var(--heat); fill-opacity: ${String(level / 8)} }`).join(' ')}
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; border: 0; padding: .25rem 0; margin: .75rem 0 0; min-width: 0; position: sticky; top: 0; z-index: 1; background: var(--ground) } .legend label { display: inline-flex; align-items: center; gap: .35rem; overflow-wrap: anywhere }
.legend svg { flex: none; width: 28px; height: 10px } .legend input { display: none } .scripted .legend input { display: inline; flex: none } .off { display: none }
dt { font-weight: 600; margin-top: .5rem } dd { margin: 0 }
@media (max-width: 40rem) { body { padding: 1rem } caption span { max-width: calc(100vw - 2rem) } .legend { position: static } .chart .tick { font-size: 16px } .chart .label { font-size: 17px } }
@media print { .legend { position: static } body { padding: 0 } .scroll { overflow: visible; background: none } }
`;

/**
 * The check boxes hide and show a policy in all charts; without the script everything is shown. Tables that are wider than
 * the page can be reached and scrolled with the keyboard.
 */
export const SCRIPT = `
document.documentElement.classList.add('scripted');
document.addEventListener('change', ({ target }) => {
  for (const part of document.querySelectorAll('[data-series="' + target.value + '"]')) part.classList.toggle('off', !target.checked);
});
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const wider = target.scrollWidth > target.clientWidth;
    const label = target.querySelector('caption').textContent;
    for (const [name, value] of [['tabindex', '0'], ['role', 'region'], ['aria-label', label]])
      wider ? target.setAttribute(name, value) : target.removeAttribute(name);
  }
});
for (const region of document.querySelectorAll('.scroll')) sizes.observe(region);
`;
