// Functions that the parts of the page share.
const $ = (selector, within = document) => within.querySelector(selector)
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)]

function make(name, attributes = {}, ...children) {
  const e = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) if (value != null) e.setAttribute(key, value)
  e.append(...children)
  return e
}

const svg = (name, attributes) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value)
  return e
}

// digits formats a number for people: about three digits, or all before the point.
const digits = v => {
  const a = Math.abs(v), decimals = a === Math.trunc(a) ? 0 : a < .995 ? 2 : a < 99.95 ? 1 : 0
  return v.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}

// inMS reads a duration as Go writes it, or in plain seconds; 0 if it is none.
function inMS(text) {
  if (/^[\d.]+$/.test(text)) return 1000 * text || 0
  const unit = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: .001, 'µs': .001 }
  let sum = 0
  for (const [, n, u] of text.matchAll(/([\d.]+)(ms|us|µs|h|m|s)/g)) sum += n * unit[u]
  return sum || 0
}

// events reads a stream of events. Unlike EventSource it can read a refusal's sentence.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  for (let text = ''; ;) {
    const { value, done } = await reader.read()
    if (done) return
    const messages = (text + value).split('\n\n')
    text = messages.pop()
    for (const m of messages) {
      const event = /^event: (.*)$/m.exec(m), data = /^data: (.*)$/m.exec(m)
      if (event && data) yield { event: event[1], data: JSON.parse(data[1]) }
    }
  }
}

// sentence returns the message of an answer that is an error.
const sentence = async response => {
  const text = await response.text()
  try {
    return JSON.parse(text).error.message
  } catch {
    return text.trim() || `the lab answered ${response.status}`
  }
}

// say shows a sentence, marked as an error or not.
function say(where, text, wrong = false) {
  where.textContent = text
  where.classList.toggle('wrong', wrong)
}

// copies makes a button copy the text of an element.
function copies(button, source) {
  button.addEventListener('click', async () => {
    const label = button.firstChild
    try {
      await navigator.clipboard.writeText(source.textContent)
      label.data = 'copied'
    } catch { // not over plain HTTP: select the text instead
      getSelection().selectAllChildren(source)
      label.data = 'selected'
    }
    setTimeout(() => { label.data = 'copy' }, 1500)
  })
}
for (const button of $$('[data-copy]')) copies(button, $('#' + button.dataset.copy))
