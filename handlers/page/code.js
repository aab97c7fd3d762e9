// The Go of each lane, for the op of the form, in a fold under it.
for (const link of $$('#lanes .code')) {
  const lane = link.closest('.lane')
  link.addEventListener('click', async event => {
    event.preventDefault()
    if (fold(lane)) return
    link.setAttribute('aria-expanded', true)
    const code = make('pre', { tabindex: 0 }), button = make('button', { type: 'button' }, 'copy')
    const shown = make('div', { class: 'source' }, code, button)
    lane.append(shown)
    const response = await fetch(`/code/${lane.dataset.name}?op=${field.op.value}`)
    if (response.ok) {
      code.textContent = await response.text()
      copies(button, code)
    } else {
      shown.replaceChildren(make('p', {}, await sentence(response)))
    }
  })
}

// fold takes the code of a lane away, and reports whether there was some.
function fold(lane) {
  const shown = $('.source', lane)
  shown?.remove()
  $('.code', lane).setAttribute('aria-expanded', false)
  return !!shown
}
field.op.addEventListener('change', () => $$('#lanes .lane').forEach(fold))
