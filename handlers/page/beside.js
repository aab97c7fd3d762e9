// A race with its figures as an address, and beside it another. The lab keeps none.
const figures = new URLSearchParams(location.hash.slice(1)) // saved, beside
const letters = new Map(['completed', 'timed_out', 'failed', 'refused', 'unanswered', 'accepted'].map(status => [status[0], status]))
const main = { lanes, scale, caption: $('#pair .caption') }
let other = null // the lanes beside

// pack writes the race that is over: its parameters, then a row for each run.
function pack() {
  const ms = v => v == null ? '' : +v.toFixed(1)
  const runs = lanes.map(l => l.runs.get(1)).filter(r => r?.status)
  return [title, ...runs.map(r => [r.name, r.status[0], ms(r.answered_ms), ms(r.ended_ms), ms(r.backend_ended_ms)].join('_'))].join('*')
}

// unpack reads what pack wrote. The answer is null for anything else.
function unpack(text) {
  const [title, ...rows] = (text ?? '').split('*')
  const runs = rows.map(row => {
    const [name, letter, ...times] = row.split('_'), [answered_ms, ended_ms, backend_ended_ms] = times.map(t => t ? +t : null)
    const run = { name, n: 1, status: letters.get(letter) ?? '', answered_ms, ended_ms, backend_ended_ms, backend_seen: backend_ended_ms != null, complete: true }
    return { ...run, ok: run.status && times.length === 3 && times.every(t => +t >= 0 && +t < 1e9), left: leftOf(run) }
  })
  return runs.length && runs.every(r => r.ok) ? { title, runs } : null
}

// leftOf says what the times alone say.
function leftOf(run) {
  const { status, answered_ms, ended_ms } = run, waste = wasteOf(run)
  if (status === 'accepted') return `was put into the queue${ended_ms == null ? '' : `; the job ended ${duration(ended_ms - answered_ms)} after the answer`}`
  return [
    status.replace('_', ' '),
    ended_ms - answered_ms > noise ? `its op went on for ${duration(ended_ms - answered_ms)} after the answer` : '',
    waste > noise ? `the backend worked on for ${duration(waste)}` : '',
  ].filter(Boolean).join('; ')
}

// showRace shows a race that was saved, on the same scale as the one beside it.
function showRace(side, { title, runs }) {
  const words = title.split(' network=')[0], of = name => inMS(new RegExp(`(?:^| )${name}=(\\S+)`).exec(words)?.[1] ?? '')
  side.scale.ask(of('delay'), of('timeout'))
  side.caption.textContent = title
  for (const lane of side.lanes) {
    const run = runs.find(r => r.name === lane.name)
    if (!run) {
      lane.absent('not in this race')
      continue
    }
    lane.begin(0, 1)
    lane.heard(run, 0)
  }
  align()
}

// align draws both races, which are over, on one scale.
function align() {
  const sides = [main, other].filter(Boolean)
  const to = Math.max(...sides.flatMap(s => [s.scale.to ?? 0, ...s.lanes.map(l => l.reach(0) * 1.05)]))
  for (const side of sides) {
    side.scale.set(to)
    for (const lane of side.lanes) lane.draw(0, to)
  }
}

// setBeside shows a saved race beside the race of the page.
function setBeside(text) {
  const race = unpack(text)
  if (!race) return false
  if (!other) {
    const copy = $('#lanes').cloneNode(true), caption = make('p', { class: 'caption' })
    for (const e of $$('.source', copy)) e.remove()
    copy.id = 'beside'
    $('#pair').append(make('div', { class: 'side' }, caption, copy))
    $('#pair').classList.add('both')
    other = { lanes: $$('.lane', copy).map(item => new Lane(item)), scale: new Scale(copy), caption }
  }
  figures.set('beside', text)
  showRace(other, race)
  return true
}

// save makes the address of the race that is over.
function save() {
  main.caption.textContent = title
  figures.set('saved', pack())
  const form = new URLSearchParams(location.search)
  form.delete('race')
  $('#saved').textContent = `${location.origin}/?${form}#${figures}`
  if (other) align()
}

$('#keep').addEventListener('click', () => {
  if (!setBeside(figures.get('saved'))) return hear('Run a race first, then keep it beside the next one.', true)
  hear('This race is kept beside: change the form, and press Run.')
})
$('#other').addEventListener('change', event => {
  if (!event.target.value) return
  const link = URL.parse(event.target.value.trim(), location.href)
  if (!setBeside(new URLSearchParams(link?.hash.slice(1)).get('saved'))) hear('That link has no figures of a race: copy the one that a race has when it is over.', true)
})
