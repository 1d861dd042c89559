'use strict'
// filters the list of answers; the part of the address behind # keeps what was chosen
const form = document.querySelector('.filters')
const rows = [...document.querySelectorAll('details')]
const fields = ['text', 'verdict', 'theme', 'group']

function apply() {
  const text = form.elements.text.value.toLowerCase()
  const verdict = form.elements.verdict.value
  const group = form.elements.group.value
  const theme = form.elements.theme.value
  let shown = 0
  for (const row of rows) {
    const fits = (!verdict || row.dataset.verdict.split('|').includes(verdict))
      && (!group || row.dataset.group === group)
      && (!theme || row.dataset.theme === theme)
      && (!text || row.textContent.toLowerCase().includes(text))
    row.hidden = !fits
    shown += fits
  }
  document.getElementById('count').textContent = `${shown} of ${rows.length}`
}

function keep() {
  const chosen = fields.filter(name => form.elements[name].value).map(name => [name, form.elements[name].value])
  location.replace('#' + new URLSearchParams(chosen))
}

const wanted = new URLSearchParams(location.hash.slice(1))
for (const name of fields) form.elements[name].value = wanted.get(name) || ''
form.hidden = false
form.addEventListener('input', () => { apply(); keep() })
form.addEventListener('submit', event => event.preventDefault())
apply()
