// The start of the page: the form, and the race that the address asks for.
const address = new URLSearchParams(location.search)
for (const e of $$('button[disabled], select[disabled]')) e.disabled = false
offer()
const wanted = address.get('network')
if (wanted && field.network) {
  if (![...field.network.options].some(o => o.value === wanted)) field.network.append(make('option', { value: wanted }, wanted))
  field.network.value = wanted
}
listen()
setBeside(figures.get('beside'))
const saved = unpack(figures.get('saved'))
// A link starts its race, but only a click changes the network.
if (address.get('race') === '1') {
  if (wanted && field.network && wanted !== field.network.dataset.now) {
    preview()
    hear(`The link asks for the network ${wanted}: press Run to change the network and to start the race.`)
  } else {
    if (wanted && !field.network) hear(`The link asks for the network ${wanted}, which you can't change here.`, true)
    race(1)
  }
} else if (saved) {
  begin({ times: 1, delay_ms: 0, timeout_ms: 0 }, 0)
  showRace(main, saved)
  $('#saved').textContent = location.href
  say(said, `A saved race: ${saved.title}. Press Run for one of this lab.`)
} else {
  replay()
}
