// Words offered while somebody writes in a text area of the page: arrows and Enter or Tab take one, Escape leaves. The
// text area stays Streamlit's own: this only listens, and writes as typing would. Names are foreign: they only ever
// become text.
const MOST = 8
const attached = new WeakMap()

export default function (component) {
  const { parentElement, data } = component
  if (!data) return undefined
  let state = attached.get(parentElement)
  if (!state) {
    state = { parentElement, box: null, found: [], at: -1 }
    const seen = name => event => {
      const area = event.target
      if (area instanceof HTMLTextAreaElement && area.closest(`.st-key-${state.data.editor}`)) name(state, area, event)
      else if (!state.box?.contains(event.target)) close(state)
    }
    // On the document: a text area that Streamlit draws anew is listened to without being found again.
    state.listeners = [
      ["input", seen(typed)],
      ["keydown", seen(pressed)],
      ["mousedown", seen(close)],
      ["focusout", seen(close)],
    ]
    for (const [kind, listener] of state.listeners) document.addEventListener(kind, listener, true)
    state.moved = () => close(state)
    window.addEventListener("resize", state.moved)
    attached.set(parentElement, state)
  }
  state.data = data
  return () => {
    close(state)
    for (const [kind, listener] of state.listeners) document.removeEventListener(kind, listener, true)
    window.removeEventListener("resize", state.moved)
    attached.delete(parentElement)
  }
}

// What is being written at the caret: its beginning, and whether it is within quotes or braces.
function place(state, area) {
  const before = area.value.slice(0, area.selectionStart)
  const bare = before.replace(/--[^\n]*/g, one => " ".repeat(one.length))
  const quote = state.data.quote
  let inside = "open"
  let opened = -1
  let braces = 0
  for (let i = 0; i < bare.length; i++) {
    const one = bare[i]
    if (opened >= 0) {
      if (one === quote) opened = -1
    } else if (one === quote) opened = i
    else if (one === "{") braces++
    else if (one === "}") braces--
  }
  if (opened >= 0) inside = "quotes"
  else if (braces > 0) inside = "braces"
  if (bare.length !== before.trimEnd().length && /--[^\n]*$/.test(before) && opened < 0) return null
  const start = inside === "quotes" ? opened + 1 : before.length - /[\p{L}\p{N}_:]*$/u.exec(before)[0].length
  const lead = bare.slice(0, inside === "quotes" ? opened : start)
  return { inside, start, written: before.slice(start), lead }
}

function matches(state, area, everything) {
  const at = place(state, area)
  if (!at || (!at.written && !everything && at.inside !== "quotes")) return { at, found: [] }
  if (/^\p{N}/u.test(at.written) && at.inside !== "quotes") return { at, found: [] }
  const wanted = at.written.toLowerCase()
  const table = /\b(from|join)\s+$/i.test(at.lead) || /\bfrom\b[^()]*,\s*$/i.test(at.lead.split(/\b(?:where|select)\b/i).pop())
  // In quotes behind `host =` hosts, behind `metric IN (` metrics.
  const column = at.inside === "quotes" ? /(\w+)\s*(?:=~?|!=|!~|<>|(?:not\s+)?i?like|(?:not\s+)?in\s*\([^)]*)\s*$/i.exec(at.lead) : null
  const ranked = []
  for (const word of state.data.words) {
    const [text, kind, , tables, where] = word
    if (where !== at.inside) continue
    if (where === "quotes" && (!column || kind !== column[1].toLowerCase())) continue
    const low = text.toLowerCase()
    const place = low.indexOf(wanted)
    if (place < 0 || (place > 0 && wanted.length < 2) || (low === wanted && !everything)) continue
    const used = tables.some(one => new RegExp(`\\b${one}\\b`, "i").test(area.value))
    let rank = place === 0 ? 0 : 10
    if (kind === "table") rank += table ? -5 : 3
    else if (table) continue
    else if (kind === "column") rank += used ? 0 : 4
    else rank += kind === "keyword" ? 1 : 2
    ranked.push([rank, low.length, text, word])
  }
  ranked.sort((a, b) => a[0] - b[0] || (wanted ? a[1] - b[1] : 0) || (a[2] < b[2] ? -1 : 1))
  // All of a table's columns, or the tables themselves: somebody who asked for everything scrolls.
  return { at, found: ranked.slice(0, everything ? 60 : MOST).map(one => one[3]) }
}

function typed(state, area, event) {
  if (event.inputType === "insertFromPaste" || event.isComposing) return close(state)
  offer(state, area, false)
}

function offer(state, area, everything) {
  const { at, found } = matches(state, area, everything)
  if (!found.length) return close(state)
  state.place = at
  state.found = found
  state.at = everything ? 0 : -1
  draw(state, area)
}

function pressed(state, area, event) {
  if (event.isComposing) return
  const held = event.ctrlKey || event.metaKey || event.altKey
  if (event.key === " " && event.ctrlKey) {
    offer(state, area, true)
    return stop(event)
  }
  if (!state.box) return
  const count = state.found.length
  if (event.key === "Escape") {
    close(state)
    stop(event)
  } else if (!held && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const step = event.key === "ArrowDown" ? 1 : -1
    state.at = state.at < 0 ? (step > 0 ? 0 : count - 1) : (state.at + step + count) % count
    mark(state, area)
    stop(event)
  } else if (!held && !event.shiftKey && (event.key === "Tab" || (event.key === "Enter" && state.at >= 0))) {
    // Enter alone begins a new line, as ever: it takes a word only after an arrow has chosen one.
    take(state, area, Math.max(state.at, 0))
    stop(event)
  } else if (held || ["Enter", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"].includes(event.key)) {
    close(state)
  }
}

function stop(event) {
  event.preventDefault()
  event.stopPropagation()
}

function take(state, area, index) {
  const [text, kind, , , where] = state.found[index]
  const { start } = state.place
  const end = area.selectionStart
  const after = area.value.slice(end)
  const quote = state.data.quote
  let put = where === "quotes" ? text.split(quote).join(state.data.escape) : text
  let caret = put.length
  if (where === "quotes" && after[0] !== quote) caret = (put += quote).length
  else if (where === "quotes") caret += 1
  if (kind === "function" && after[0] !== "(") {
    put += "()"
    caret = put.length - 1
  }
  close(state)
  const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set
  set.call(area, area.value.slice(0, start) + put + after)
  area.setSelectionRange(start + caret, start + caret)
  area.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "insertFromPaste" }))
  area.focus()
}

function draw(state, area) {
  close(state)
  // Within a shadow root its host has the colours of the theme.
  const style = getComputedStyle(state.parentElement.host ?? state.parentElement)
  const paint = (name, otherwise) => style.getPropertyValue(`--st-${name}`).trim() || otherwise
  const box = document.createElement("div")
  box.setAttribute("role", "listbox")
  box.id = `offer-${state.data.editor}`
  box.setAttribute("aria-label", "Completions")
  Object.assign(box.style, {
    position: "fixed", zIndex: "1000000", maxHeight: "16rem", overflow: "auto", minWidth: "12rem", maxWidth: "min(30rem, 96vw)",
    background: paint("background-color", "#fff"), color: paint("text-color", "#222"), fontSize: "0.85rem",
    border: `1px solid ${paint("border-color", "#ccc")}`, borderRadius: "0.4rem", padding: "0.2rem",
    boxShadow: "0 4px 16px rgba(0, 0, 0, 0.2)",
  })
  state.found.forEach(([text, kind, about], index) => {
    const row = document.createElement("div")
    row.setAttribute("role", "option")
    row.id = `${box.id}-${index}`
    Object.assign(row.style, {
      display: "flex", gap: "0.8rem", padding: "0.2rem 0.5rem", borderRadius: "0.3rem", cursor: "pointer", whiteSpace: "nowrap",
    })
    const name = document.createElement("bdi")
    name.textContent = text
    Object.assign(name.style, { fontFamily: "ui-monospace, monospace", overflow: "hidden", textOverflow: "ellipsis" })
    const said = document.createElement("span")
    said.textContent = about || kind
    Object.assign(said.style, { marginLeft: "auto", opacity: "0.65", overflow: "hidden", textOverflow: "ellipsis" })
    row.append(name, said)
    row.addEventListener("mousedown", event => {
      event.preventDefault()
      event.stopPropagation()
      take(state, area, index)
    })
    box.append(row)
  })
  box.addEventListener("mousedown", event => event.preventDefault())
  state.ink = paint("secondary-background-color", "#eee")
  state.box = box
  state.area = area
  document.body.append(box)
  beside(area, box, state.place.start)
  area.setAttribute("aria-autocomplete", "list")
  area.setAttribute("aria-controls", box.id)
  mark(state, area)
}

function mark(state, area) {
  ;[...state.box.children].forEach((row, index) => {
    const chosen = index === state.at
    row.setAttribute("aria-selected", String(chosen))
    row.style.background = chosen ? state.ink : ""
    row.style.outline = chosen ? "1px solid currentColor" : ""
    if (chosen) {
      row.scrollIntoView({ block: "nearest" })
      area.setAttribute("aria-activedescendant", row.id)
    }
  })
  if (state.at < 0) area.removeAttribute("aria-activedescendant")
}

// Under the beginning of the word: where it is, a copy of the text area tells.
function beside(area, box, start) {
  const style = getComputedStyle(area)
  const copy = document.createElement("div")
  for (const name of ["fontFamily", "fontSize", "fontWeight", "letterSpacing", "lineHeight", "padding", "borderWidth", "tabSize"]) {
    copy.style[name] = style[name]
  }
  Object.assign(copy.style, {
    position: "absolute", visibility: "hidden", whiteSpace: "pre-wrap", overflowWrap: "break-word", top: "0", left: "0",
    borderStyle: "solid", boxSizing: "border-box", width: `${area.clientWidth}px`,
  })
  copy.textContent = area.value.slice(0, start)
  const point = document.createElement("span")
  point.textContent = "\u200b"
  copy.append(point)
  document.body.append(copy)
  const around = area.getBoundingClientRect()
  const line = parseFloat(style.lineHeight) || 20
  const top = around.top + Math.min(point.offsetTop - area.scrollTop + line, around.height)
  const left = around.left + point.offsetLeft
  copy.remove()
  const { width, height } = box.getBoundingClientRect()
  box.style.left = `${Math.max(4, Math.min(left, window.innerWidth - width - 4))}px`
  const below = top + height <= window.innerHeight || top - line < height
  box.style.top = `${below ? top + 2 : top - line - height - 2}px`
}

function close(state) {
  if (!state.box) return
  state.box.remove()
  state.box = null
  state.area.removeAttribute("aria-activedescendant")
  state.area.removeAttribute("aria-controls")
}
