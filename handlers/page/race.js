// The race: the form, the lanes, and the same as a table, a link and commands for a terminal.
const form = $('#asked'), field = form.elements, said = $('#said'), again = $('#again'), run = $('button.main', form)
const lanes = $$('#lanes .lane').map(item => new Lane(item)), scale = new Scale($('#lanes'))
let racing = lanes // the lanes of the strategies that the op suits
let running = null // aborts the race that runs
let replaying = false, title = '' // the parameters of the last race

// hear shows a sentence, and reads it to users of a screen reader.
function hear(text, wrong) {
  say(said, text, wrong)
  $('#heard').append(make('p', {}, text))
}

// offer shows the fields that the op has, and disables the others.
function offer() {
  const op = field.op.selectedOptions[0]
  $('#op-doc').textContent = op.dataset.doc
  const choices = new Map(op.dataset.choices.split(' ').map(choice => choice.split('=')))
  for (const select of $$('.choice select', form)) {
    const words = choices.get(select.name)?.split('|') ?? []
    if (select.name === 'target' && words.length) words.unshift('')
    const was = select.value
    select.replaceChildren(...words.map(w => make('option', { value: w }, w || 'the backend')))
    if (words.includes(was)) select.value = was
    select.closest('label').hidden = select.disabled = words.length < 2
  }
  field.backend.disabled ||= field.target.value !== '' // a target takes the backend's place
  field.delay.disabled = op.dataset.noDelay !== ''
  again.hidden = op.dataset.once !== ''
  if (field.delay.disabled) $('#op-doc').textContent += ' No delay: ' + op.dataset.noDelay
  brief()
}

// brief is the form in a line, for where it is folded.
function brief() {
  $('#brief').textContent = `${field.op.value} ${field.delay.disabled ? '' : field.delay.value + ' '}within ${field.timeout.value}, ${field.ctx.value}`
}

// asked returns the parameters of the race.
function asked() {
  const q = new URLSearchParams(new FormData(form))
  for (const [name, value] of [...q]) if (!value || name === 'network') q.delete(name)
  return q
}

// preview sets the scale as the form has it.
function preview() {
  scale.ask(field.delay.disabled ? 0 : inMS(field.delay.value), inMS(field.timeout.value))
}

// prepare changes the network to the one that the race is asked on. The answer is whether it is there.
async function prepare() {
  const wanted = field.network
  if (!wanted?.value || wanted.value === wanted.dataset.now) return true
  hear(`Changing the network to ${wanted.value}, and measuring it …`)
  return changeNetwork('PUT', wanted.value, hear)
}

async function race(times) {
  replaying = false
  running?.abort()
  const end = running = new AbortController()
  const q = asked(), link = new URLSearchParams(q)
  if (field.network?.value) link.set('network', field.network.value)
  title = [...link].map(p => p.join('=')).join(' ')
  link.set('race', 1)
  history.replaceState(null, '', `/?${link}${other ? '#beside=' + encodeURIComponent(figures.get('beside')) : ''}`)
  $('#link').textContent = location.href
  figures.delete('saved')
  run.textContent = 'Stop'
  try {
    if (!await prepare()) return
    if (times > 1) q.set('times', times)
    const response = await fetch('/race?' + q, { signal: end.signal })
    if (!response.ok) return hear(await sentence(response), true)
    await follow(response)
  } catch (e) {
    if (!end.signal.aborted) hear('The lab can\'t be reached any more: is it still running?', true)
    else if (running === end) hear('Stopped watching; the runs go on in the lab.')
  } finally {
    if (running === end) {
      running = null
      run.textContent = 'Run'
    }
  }
}

// follow shows the events of a race.
async function follow(response) {
  let start, over = false
  const frame = () => {
    if (over) return
    draw(performance.now())
    requestAnimationFrame(frame)
  }
  try {
    for await (const { event, data } of events(response)) {
      const now = performance.now()
      if (event === 'start') {
        start = data
        begin(start, now)
        asks(start)
        if (!still.matches) frame()
      } else if (event === 'run') {
        const lane = lanes.find(l => l.name === data.name)
        if (!lane) continue
        const was = lane.over
        lane.heard(data, now)
        // All lanes began at once: a lane without an event takes the clock of the others.
        const heard = racing.filter(l => l.runs.size), began = Math.min(...heard.map(l => l.began))
        for (const l of racing) if (!l.runs.size) l.began = began
        if (lane.over && !was) tell(lane, start)
        fill(lane, start)
        if (start.times > 1) say(said, `${racing.reduce((n, l) => n + l.runs.size, 0)} of ${racing.length * start.times} answered …`)
        if (still.matches && (start.times === 1 || lane.over)) draw(now) // else each frame draws
      } else if (event === 'done') {
        over = true
        end(start, now)
        return
      } else if (event === 'cut') {
        return hear(`The race was cut: ${data.reason}.`, true)
      }
    }
    hear('The lab ended the race before it was over.', true)
  } finally {
    over = true
  }
}

function begin(start, now) {
  $('#race').classList.toggle('many', start.times > 1)
  scale.ask(start.alone_ms ?? start.delay_ms, start.timeout_ms)
  racing = lanes.filter(l => !start.strategies || start.strategies.some(s => s.name === l.name))
  for (const lane of lanes) {
    if (racing.includes(lane)) lane.begin(now, start.times)
    else lane.absent(`makes no sense for ${start.op}`)
  }
  $('#heard').replaceChildren()
  columns(start)
}

// asks says what a race asks.
function asks(start) {
  $('#curl').textContent = start.curl
  $('#compare').textContent = start.compare
  const took = start.alone_ms ?? start.delay_ms
  hear(`${start.times > 1 ? start.times + ' calls' : 'A call'}${took ? ' of ' + duration(took) : ''} under a timeout of ${duration(start.timeout_ms)} …`)
}

// replay plays the recorded race once, until somebody presses Run.
function replay() {
  const { start, runs } = recorded, began = performance.now()
  begin(start, began)
  for (const lane of lanes) if (!runs.some(r => r.name === lane.name)) lane.absent('not in this race')
  say(said, `A recorded race, of ${start.op} for ${duration(start.delay_ms)} under a timeout of ${duration(start.timeout_ms)}: press Run for your own.`)
  replaying = true
  const frame = () => {
    if (!replaying) return
    const now = performance.now(), at = still.matches ? Infinity : now - began
    replaying = false
    for (const run of runs) {
      const lane = lanes.find(l => l.name === run.name)
      if (!lane || lane.over) continue
      lane.heard(asOf(run, at), now)
      if (lane.over) fill(lane, start)
      replaying ||= !lane.over
    }
    draw(now)
    if (replaying) requestAnimationFrame(frame)
  }
  frame()
}

// asOf is a complete run as it was so many milliseconds after its start.
function asOf(run, ms) {
  const times = ['answered_ms', 'ended_ms', 'backend_ended_ms']
  const seen = { ...run, complete: times.every(t => run[t] <= ms) }
  for (const t of times) if (run[t] > ms) seen[t] = null
  if (seen.answered_ms == null) seen.status = null
  return seen
}

// draw draws the lanes at a moment. The scale fits those in view: a folded lane that is ten
// times slower would press the others together.
let drawn = 0
function draw(now = drawn) {
  drawn = now
  for (const lane of lanes) if (lane.item.checkVisibility()) scale.hold(lane.reach(now))
  for (const lane of lanes) {
    lane.draw(now, scale.to)
    lane.place(scale.to)
  }
}

// tell shows the sentence of a lane, and reads it to users of a screen reader.
function tell(lane, start) {
  if (start.times > 1) {
    lane.left.textContent = lane.sum().text
    lane.zoom()
  }
  $('#heard').append(make('p', {}, `${lane.name}: ${lane.left.textContent}`))
}

function end(start, now) {
  draw(now)
  const lost = racing.filter(l => !l.over).length
  if (start.times === 1 && !lost) save()
  const waste = racing.reduce((sum, l) => sum + l.sum().waste, 0)
  hear(lost ? `${lost} of ${racing.length} were not complete when the lab stopped watching.`
    : `All over.${waste > .05 ? ` Backends worked ${digits(waste)} s for callers that had left.` : ''}`)
}

// columns writes the head of the table.
function columns(start) {
  const heads = start.times > 1
    ? ['strategy', 'completed', 'accepted', 'timed out', 'failed', 'refused', 'answered p50 ms', 'p99 ms', 'at most ms', 'goroutines left', 'backend s for nobody']
    : ['strategy', 'status', 'answered ms', 'ended ms', 'backend ended ms', 'goroutines left', 'connections dialed', 'reused', 'kept', 'closed', 'receipt']
  $('#table thead').replaceChildren(make('tr', {}, ...heads.map(h => make('th', { scope: 'col' }, h))))
  $('#table tbody').replaceChildren(...lanes.map(l => make('tr', { 'data-name': l.name },
    make('th', { scope: 'row' }, l.name), ...heads.slice(1).map(() => make('td', {}, '–')))))
}

// fill fills the row of a lane.
function fill(lane, start) {
  const cells = $$(`#table tr[data-name="${lane.name}"] td`), figure = v => v == null ? '?' : digits(v)
  let row
  if (start.times > 1) {
    const { counts, answers, stray, waste } = lane.sum()
    row = [...counts.map(([n]) => n), ...[.5, .99, 1].map(q => q === .99 && answers.length < 100 ? '–' : figure(quantile(answers, q))), stray, digits(waste)]
  } else {
    const r = lane.runs.get(1), c = r.connections, ongoing = v => v == null && !r.complete ? '…' : figure(v)
    row = [r.status?.replace('_', ' ') ?? '…', ongoing(r.answered_ms), ongoing(r.ended_ms), ongoing(r.backend_ended_ms), r.goroutines_left,
      c.dialed, c.reused, c.kept, c.closed, r.receipt ? make('a', { href: '/receipts/' + r.receipt }, r.receipt) : '–']
  }
  row.forEach((value, i) => cells[i].replaceChildren(value))
}

field.op.addEventListener('change', offer)
for (const family of $$('#lanes .family')) family.addEventListener('toggle', () => draw())
field.target?.addEventListener('change', () => { field.backend.disabled = field.target.value !== '' })
form.addEventListener('input', brief)
form.addEventListener('submit', event => {
  event.preventDefault()
  if (running) running.abort()
  else race(1)
})
again.addEventListener('click', () => race(+again.value))
