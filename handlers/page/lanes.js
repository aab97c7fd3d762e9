// The lanes of a race: each grows by the browser's clock, and the events correct it.
const still = matchMedia('(prefers-reduced-motion: reduce)')

// Scale is the time that the width of the lanes stands for.
class Scale {
  constructor(lanes) {
    this.bound = $('.bound', lanes)
    this.axis = $('.axis .plot', lanes)
  }
  // ask sets the scale for a call of a delay under a timeout, in ms.
  ask(delay, timeout) {
    this.timeout = timeout
    this.bound.hidden = !timeout
    $('span', this.bound).textContent = `timeout ${duration(timeout)}`
    this.set(Math.max(delay, timeout, 1) * 1.06)
  }
  // hold widens the scale for a time.
  hold(at) { if (at > this.to) this.set(at * (still.matches ? 1.05 : 1)) }
  set(to) {
    this.to = to
    const at = `${this.timeout / to * 100}cqi`, [line, label] = this.bound.firstElementChild.children
    line.style.transform = `translateX(${at})`
    label.style.transform = `translateX(clamp(0px, ${at} - 50%, 100cqi - 100%))` // above the line, and within the lanes
    this.ticks()
  }
  ticks() {
    const rough = this.to / 5, power = 10 ** Math.floor(Math.log10(rough))
    const step = power * [1, 2, 5, 10].find(n => n * power >= rough)
    const places = Array.from({ length: Math.floor(this.to / step) + 1 }, (_, i) => i * step)
    while (this.axis.children.length < places.length) this.axis.append(make('span'))
    while (this.axis.children.length > places.length) this.axis.lastChild.remove()
    places.forEach((at, i) => {
      const tick = this.axis.children[i], text = at ? duration(at) : '0'
      if (tick.textContent !== text) tick.textContent = text
      tick.style.transform = `translateX(${at / this.to * 100}cqi)`
    })
  }
}

const duration = ms => ms < 1000 ? `${digits(ms)} ms` : `${+(ms / 1000).toFixed(3)} s`

// Lane is the lane of a strategy.
class Lane {
  constructor(item) {
    this.item = item
    this.name = item.dataset.name
    this.bars = $$('.bar', item)
    this.figures = $$('.track b', item)
    this.dots = $('.dots', item)
    this.left = $('.left', item)
    this.zoomed = $('.zoom', item)
    this.clear()
  }
  clear() {
    this.runs = new Map()
    this.began = null
    this.marked = new Set()
    this.drawn = ''
    this.dots.replaceChildren()
    this.zoomed.replaceChildren()
    this.left.textContent = ''
    this.draw(0, 1)
  }
  // absent shows why the strategy has no run in the race.
  absent(why) {
    this.clear()
    this.item.classList.add('unsuited')
    this.left.textContent = why
  }
  begin(now, times) {
    this.clear()
    this.item.classList.remove('unsuited')
    this.began = now
    this.times = times
  }
  // heard records an event of a run.
  heard(run, now) {
    const first = !this.runs.size
    this.runs.set(run.n, run)
    if (this.times > 1) return this.mark(run)
    const known = Math.max(run.answered_ms ?? 0, run.ended_ms ?? 0)
    // The event with the earliest start is the best clock: the others were on their way for longer.
    if (known) this.began = first ? now - known : Math.min(this.began, now - known)
    if (run.complete) this.left.textContent = run.error && !run.answered_ms ? run.error.message : run.left
  }
  get over() { return this.runs.size === this.times && [...this.runs.values()].every(r => r.complete) }
  // times3 returns when each bar ends, and whether the time is known; null for an unknown time.
  times3(now) {
    const run = this.runs.get(1), soFar = now - this.began
    if (run?.status === 'refused') return [null, null, null]
    const at = value => value == null ? run?.complete ? null : { at: soFar } : { at: value, known: true }
    return [at(run?.answered_ms), at(run?.ended_ms), run && !run.backend_seen ? null : at(run?.backend_ended_ms)]
  }
  // draw draws the bars at a moment.
  draw(now, scale) {
    const times = this.began == null || this.times > 1 ? [] : this.times3(now)
    this.bars.forEach((bar, i) => {
      const t = times[i], figure = this.figures[i]
      bar.style.width = t ? `${t.at / scale * 100}%` : '0'
      bar.hidden = !t
      figure.textContent = t && (t.known || !still.matches) ? digits(t.known ? t.at : Math.round(t.at)) : times.length ? '?' : ''
      figure.classList.toggle('known', !t || !!t.known)
      figure.style.transform = t ? `translateX(${t.at / scale * 100}cqi)` : ''
    })
  }
  // reach is the latest of its times.
  reach(now) {
    if (this.began == null) return 0
    if (this.times > 1) return Math.max(0, ...[...this.runs.values()].map(r => Math.max(r.answered_ms ?? 0, r.backend_ended_ms ?? 0)))
    return Math.max(0, ...this.times3(now).map(t => !t || !t.known && still.matches ? 0 : t.at))
  }
  // mark puts a dot at the answer of one of many runs, and below it one at the backend's end.
  mark(run) {
    const height = (run.n * 0.618034) % 1 // apart from its neighbours, the same each time
    for (const [at, name, top] of [[run.answered_ms, run.status, 4], [run.backend_ended_ms, 'backend', 58]]) {
      const key = top + ' ' + run.n
      if (at == null || this.marked.has(key)) continue
      this.marked.add(key)
      this.dots.append(svg('circle', { 'data-at': at, class: name, r: 2.5, cy: `${top + 38 * height}%`, cx: 0 }))
    }
  }
  place(scale) {
    const drawn = `${scale} ${this.marked.size}`
    if (this.drawn === drawn) return
    this.drawn = drawn
    for (const dot of this.dots.children) dot.setAttribute('cx', `${dot.dataset.at / scale * 100}%`)
  }
  // zoom draws the distribution of many overshoots, on a logarithmic scale of its own.
  zoom() {
    const late = [...this.runs.values()].map(r => r.overshoot_ms).filter(v => v > 0).sort((a, b) => a - b)
    if (late.length < 2) return
    const bins = Array(48).fill(0), from = Math.log(late[0]), range = Math.log(late.at(-1)) - from || 1
    const place = ms => (Math.log(ms) - from) / range * bins.length
    for (const ms of late) bins[Math.min(bins.length - 1, Math.floor(place(ms)))]++
    const picture = svg('svg', { viewBox: `0 0 ${bins.length} 1`, preserveAspectRatio: 'none', 'aria-hidden': true }), high = Math.max(...bins)
    bins.forEach((n, i) => { if (n) picture.append(svg('rect', { x: i + .05, y: 1 - n / high, width: .9, height: n / high })) })
    const words = marks(late).map(([name, ms]) => {
      picture.append(svg('line', { class: name, x1: place(ms), x2: place(ms), y1: -.15, y2: 1.15 }))
      return make('span', {}, make('i', { class: name }), `${name} ${digits(ms)}`)
    })
    this.zoomed.replaceChildren(picture, make('small', {}, `overshoot of ${late.length}, ms: `, ...words))
  }
  // sum counts many runs, and describes them in a sentence.
  sum() {
    const runs = [...this.runs.values()], answers = runs.map(r => r.answered_ms).filter(v => v != null).sort((a, b) => a - b)
    const counts = ['completed', 'accepted', 'timed_out', 'failed', 'refused'].map(s => [runs.filter(r => r.status === s).length, s.replace('_', ' ')])
    const waste = runs.reduce((sum, r) => sum + Math.max(0, wasteOf(r)), 0) / 1000
    const stray = runs.reduce((sum, r) => sum + r.goroutines_left, 0), strays = runs.filter(r => r.goroutines_left).length
    const wasted = runs.filter(r => wasteOf(r) > noise).length
    const unseen = runs.filter(r => r.answered_ms != null && r.backend_ended_ms == null).length
    return {
      counts, answers, waste, stray,
      text: [
        `of ${runs.length} runs ` + counts.filter(([n]) => n).map(([n, s]) => `${n} ${s}`).join(', '),
        answers.length ? `answered ${marks(answers).map(([name, ms]) => `${name} ${digits(ms)}`).join(', ')} ms` : '',
        strays ? `${strays} left ${stray > strays ? stray + ' goroutines' : stray > 1 ? 'a goroutine each' : 'a goroutine'} running` : '',
        wasted ? `after ${wasted} the backend worked on, ${digits(waste)} s in all` : '',
        unseen ? `of ${unseen} the backend's end is unknown` : '',
      ].filter(Boolean).join('; '),
    }
  }
}

// wasteOf is how long the backend worked for nobody, in ms. The work of a job is for who asks for the job.
const wasteOf = r => r.status === 'accepted' || r.backend_ended_ms == null ? 0 : r.backend_ended_ms - r.answered_ms

// noise is the waste, in ms, below which a difference may be noise of the machine.
const noise = 10

// marks are the values that describe many, sorted: fewer than a hundred have no p99.
const marks = sorted => [['p50', quantile(sorted, .5)], ...sorted.length < 100 ? [] : [['p99', quantile(sorted, .99)]], ['max', sorted.at(-1)]]

// quantile of sorted values, by the nearest rank.
const quantile = (sorted, q) => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]
