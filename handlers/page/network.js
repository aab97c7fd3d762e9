// The network: presets, sliders and the calibration.
const change = $('#change'), changed = $('#changed')
const rates = ['', '50mbit', '10mbit', '5mbit', '2mbit', '1mbit', '512kbit', '128kbit', '56kbit']
const words = {
  delay: v => +v ? `delay=${v}ms` : '',
  jitter: v => +v ? `jitter=${v}ms` : '',
  loss: v => +v ? `loss=${v}%` : '',
  rate: v => +v ? `rate=${rates[v]}` : '',
}

// changeNetwork returns whether the network was changed; tell shows why not.
async function changeNetwork(method, profile, tell) {
  try {
    const response = await fetch('/network', { method, body: profile })
    if (!response.ok) {
      tell(await sentence(response), true)
      return false
    }
    await showNetwork()
    return true
  } catch {
    tell('The lab can\'t be reached any more: is it still running?', true)
    return false
  }
}

// showNetwork takes the network from a new copy of the page, so that only the server renders it.
async function showNetwork() {
  const page = new DOMParser().parseFromString(await (await fetch('/', { headers: { Accept: 'text/html' } })).text(), 'text/html')
  $('#path').replaceWith($('#path', page))
  const select = field.network, next = $('[name=network]', page)
  if (!change || !next) return
  const now = next.value // moving the options changes the selection
  select.replaceChildren(...next.children)
  select.value = select.dataset.now = now
  field.network.disabled = false
  change.elements.profile.value = $('#path').dataset.asked
  mark()
}

// mark shows the preset in use, and sets the sliders by the profile.
function mark() {
  for (const button of $$('.presets button')) button.setAttribute('aria-pressed', button.value === field.network.value)
  const text = change.elements.profile.value, e = change.elements
  const is = key => new RegExp(`(?:^| )${key}=(\\S+)`).exec(text)?.[1] ?? ''
  e.delay.value = inMS(is('delay'))
  e.jitter.value = inMS(is('jitter'))
  e.loss.value = parseFloat(is('loss')) || 0
  e.rate.value = Math.max(0, rates.indexOf(is('rate')))
  outputs()
  // A key that differs by direction, or has a value that its slider does not, is in the text alone.
  for (const key of Object.keys(words)) {
    if (text.includes(key + '=') && word(key) !== `${key}=${is(key)}`) e[key].nextElementSibling.textContent = 'as below'
  }
}

// word is a slider's key in a profile, "" for a perfect value.
const word = key => words[key](change.elements[key].value)

function outputs() {
  const e = change.elements
  for (const [name, text] of [['delay', `${e.delay.value} ms`], ['jitter', `± ${e.jitter.value} ms`], ['loss', `${e.loss.value} %`], ['rate', rates[e.rate.value] || 'no limit']]) {
    e[name].nextElementSibling.textContent = text
    e[name].setAttribute('aria-valuetext', text)
  }
}

async function set(method, profile) {
  const what = method === 'DELETE' ? 'Resetting' : `Setting ${profile}`
  say(changed, what + ', and measuring it …')
  if (await changeNetwork(method, profile, (text, wrong) => say(changed, text, wrong))) say(changed, 'Set: the measured network is shown above.')
}

if (change) {
  for (const button of $$('.presets button')) button.addEventListener('click', () => set('PUT', button.value))
  $('.sliders', change).addEventListener('input', () => {
    const profile = Object.keys(words).map(word).filter(Boolean).join(' ')
    change.elements.profile.value = profile || 'none'
    outputs()
  })
  change.addEventListener('submit', event => {
    event.preventDefault()
    set('PUT', change.elements.profile.value)
  })
  $('#reset').addEventListener('click', () => set('DELETE'))
  field.network.dataset.now = field.network.value
  mark()
}
