// The lab's gauges, each with a line of its last minute.
const minute = 60, gone = 5000
const stream = $('#stream'), snapshots = []
let source

// line returns the SVG path of a gauge over the last minute, scaled to its highest value.
function line(values) {
  const high = Math.max(1, ...values.filter(v => v != null))
  return values.map((v, i) => v == null ? '' : `${i && values[i - 1] != null ? 'L' : 'M'}${minute - values.length + i} ${(20 - 18 * v / high).toFixed(1)}`).join('')
}

function spark(holder, name, values) {
  const seen = values.filter(v => v != null)
  let e = $('.spark', holder)
  if (!e) {
    e = svg('svg', { class: 'spark', viewBox: `0 0 ${minute - 1} 21`, preserveAspectRatio: 'none', role: 'img' })
    e.append(svg('path', {}))
    holder.prepend(e)
  }
  e.setAttribute('aria-label', seen.length ? `${name}: from ${Math.min(...seen)} to ${Math.max(...seen)} in the last minute` : `${name}: unknown`)
  e.firstChild.setAttribute('d', line(values))
}

function show() {
  const last = snapshots.at(-1)
  for (const e of $$('#now [data-gauge]')) {
    const name = e.dataset.gauge, of = e.dataset.backend
    const value = s => of ? s.backends.find(b => b.name === of)?.[name] : s[name]
    const label = (of ? of + ' ' : '') + name.replaceAll('_', ' ')
    $('.value', e).textContent = value(last) ?? '?'
    spark($('.chart', e), label, snapshots.map(value))
  }
  showReceipts(last.receipts)
}

// showReceipts fills the rows that exist, so that nothing moves and the focus stays.
function showReceipts(receipts) {
  const body = $('#receipts tbody')
  while (body.rows.length < 8) {
    body.append(make('tr', { class: 'empty' }, make('th', { scope: 'row' }, make('a', { href: '/receipts' }, '–')), ...Array.from('1234', () => make('td', {}, '–'))))
  }
  receipts.forEach((r, i) => {
    const row = body.rows[i], [link, ...cells] = [$('a', row), ...$$('td', row)]
    const figure = v => v == null ? r.complete ? '?' : '…' : digits(v)
    const texts = [`${r.name} on ${r.slow}`, ...[r.answered_ms, r.ended_ms, r.backend_ended_ms].map(figure)]
    row.className = ''
    link.href = '/receipts/' + r.id
    for (const [e, text] of [[link, r.id], ...texts.map((text, i) => [cells[i], text])]) if (e.textContent !== text) e.textContent = text
  })
}

function listen() {
  source?.close()
  source = new EventSource('/events')
  source.addEventListener('now', event => {
    const { history, ...now } = JSON.parse(event.data)
    if (history) snapshots.splice(0, Infinity, ...history)
    if (snapshots.at(-1)?.at !== now.at) snapshots.push(now)
    snapshots.splice(0, snapshots.length - minute)
    state('live', 'live')
    show()
  })
  source.onerror = () => {
    state('lost', 'lost: connecting again')
    // An EventSource reconnects by itself, but for a refusal.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, gone)
  }
}

function state(name, text) {
  if (stream.className === name + ' scripted') return
  stream.className = name + ' scripted'
  stream.textContent = text
}

// A hidden page closes its stream: a browser has six connections to a lab for all its pages.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) return listen()
  source?.close()
  state('', 'paused')
})
