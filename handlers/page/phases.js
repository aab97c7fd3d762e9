// Phases: each faulty server under the same timeouts, and which timeout passed.
const targets = $$('.targets .lane'), atOnce = 3 // a browser has six connections, and the page needs some

async function runAll(button) {
  button.disabled = true
  say($('#ran'), 'Running …')
  const fired = new Map(), waiting = [...targets]
  for (const lane of targets) {
    $('.plot', lane).replaceChildren()
    $('.left', lane).textContent = ''
  }
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let lane; (lane = waiting.shift());) {
      const what = await runTarget(lane)
      fired.set(what, (fired.get(what) ?? 0) + 1)
    }
  }))
  say($('#ran'), [...fired].map(([what, n]) => `${n} ${what}`).join(', ') + '.')
  button.disabled = false
}

// runTarget calls a server and shows the phases of the call. It returns the outcome.
async function runTarget(lane) {
  const told = $('.left', lane)
  told.textContent = 'running …'
  try {
    const answer = await (await fetch($('h3 a', lane).href)).json()
    if (!answer.receipt) {
      told.textContent = answer.error.message
      return 'refused'
    }
    const receipt = await (await fetch(answer.receipt + '?wait=5s', { headers: { Accept: 'application/json' } })).json()
    drawPhases(lane, receipt)
    return receipt.status === 'timed_out' ? 'cut by a timeout' : receipt.status
  } catch {
    told.textContent = 'The lab can\'t be reached.'
    return 'not reached'
  }
}

function drawPhases(lane, receipt) {
  const to = inMS(receipt.timeout) * 1.02, cut = receipt.error, phases = receipt.phases ?? []
  const ends = p => p.took_ms == null ? receipt.answered_ms : Math.min(p.at_ms + p.took_ms, receipt.answered_ms)
  $('.plot', lane).replaceChildren(...phases.map((p, i) => {
    const failed = cut && (p.failed || p.took_ms == null || i === phases.length - 1)
    const bar = make('i', { class: `bar phase ${p.name}${failed ? ' cut' : ''}` })
    bar.style.left = `${p.at_ms / to * 100}%`
    bar.style.width = `${(ends(p) - p.at_ms) / to * 100}%`
    return bar
  }))
  const last = phases.at(-1)
  $('.left', lane).replaceChildren(make('b', {}, (cut?.code ?? receipt.status).replaceAll('_', ' ')), ` after ${digits(receipt.answered_ms)} ms`,
    cut && last ? `, in ${last.name}` : '')
}

$('#run-all')?.addEventListener('click', event => runAll(event.currentTarget))
