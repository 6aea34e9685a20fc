// A pipeline as a graph: columns of nodes (data, each step, split, models, ensemble, scores) joined by lines. Clicking or
// Enter picks a node; dragging a step, or Alt with an arrow, moves it. Names are foreign: they only ever become text.
const HEIGHT = 54
// A node that has only a title.
const LOW = 34
const GAP_X = 28
const GAP_Y = 10
const ROW_GAP = 34
const WIDE = 158
const NARROW = 620
// Room for the lines that reach several nodes at the beginning of a row from the side, not through each other.
const LEFT = 20
const graphs = new WeakMap()

export default function (component) {
  const { parentElement, data, setTriggerValue } = component
  const root = parentElement.querySelector(".graph")
  if (!root || !data) return undefined
  let graph = graphs.get(root)
  if (!graph) {
    graph = { root, width: 0, focus: null }
    graph.observer = new ResizeObserver(() => {
      const width = root.clientWidth
      if (width && width !== graph.width && !graph.held) draw(graph)
    })
    graphs.set(root, graph)
  }
  graph.data = data
  graph.send = setTriggerValue
  // A step in somebody's hand is not taken away from it.
  if (!graph.held) draw(graph)
  graph.observer.observe(root)
  return () => {
    graph.observer.disconnect()
    graphs.delete(root)
  }
}

function make(tag, name, text) {
  const element = document.createElement(tag)
  if (name) element.className = name
  if (text !== undefined) element.textContent = text
  return element
}

function draw(graph) {
  const { root, data } = graph
  const held = root.getRootNode().activeElement
  const focus = graph.focus || (held && root.contains(held) ? held.dataset.id : null)
  const spoken = root.querySelector(".said")?.textContent ?? ""
  graph.width = root.clientWidth || 300
  graph.focus = null
  root.textContent = ""
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", data.label)
  const places = arrange(data.nodes, graph.width)
  root.style.height = `${places.height}px`
  root.append(lines(data.nodes, places))
  graph.nodes = data.nodes.map(node => button(graph, node, places.of.get(node.id)))
  root.append(...graph.nodes)
  const said = make("div", "said", spoken)
  said.setAttribute("aria-live", "polite")
  root.append(said)
  if (focus) graph.nodes.find(one => one.dataset.id === focus)?.focus({ preventScroll: true })
}

function layers(nodes) {
  const found = []
  for (const node of nodes) (found[node.layer] ||= []).push(node)
  return found.filter(Boolean)
}

function tall(node) {
  return node.detail ? HEIGHT : LOW
}

function stack(layer, gap) {
  return layer.reduce((sum, node) => sum + tall(node) + gap, -gap)
}

// Left to right, beginning a new row where the window ends; one below the other where it is narrow.
function arrange(nodes, width) {
  const of = new Map()
  let top = 6
  if (width < NARROW) {
    for (const layer of layers(nodes)) {
      const across = Math.min(2, layer.length)
      const wide = (width - 12 - (across - 1) * 8) / across
      const high = Math.max(...layer.map(tall))
      layer.forEach((node, n) => {
        const y = top + Math.floor(n / across) * (high + 8)
        of.set(node.id, { x: 6 + (n % across) * (wide + 8), y, w: wide, h: high, row: 0 })
      })
      top += Math.ceil(layer.length / across) * (high + 8) + 14
    }
    return { of, height: top, down: true }
  }
  const each = Math.max(2, Math.floor((width - LEFT - 6 + GAP_X) / (WIDE + GAP_X)))
  const wide = Math.min(230, (width - LEFT - 6 - (each - 1) * GAP_X) / each)
  const all = layers(nodes)
  for (let start = 0, row = 0; start < all.length; start += each, row += 1) {
    const part = all.slice(start, start + each)
    const high = Math.max(...part.map(layer => stack(layer, GAP_Y)))
    part.forEach((layer, column) => {
      let y = top + (high - stack(layer, GAP_Y)) / 2
      for (const node of layer) {
        of.set(node.id, { x: LEFT + column * (wide + GAP_X), y, w: wide, h: tall(node), row, bottom: top + high })
        y += tall(node) + GAP_Y
      }
    })
    top += high + ROW_GAP
  }
  return { of, height: top - ROW_GAP + 8, down: false }
}

function lines(nodes, places) {
  const space = "http://www.w3.org/2000/svg"
  const svg = document.createElementNS(space, "svg")
  svg.setAttribute("aria-hidden", "true")
  const marker = document.createElementNS(space, "marker")
  const about = { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }
  for (const [name, value] of Object.entries(about)) marker.setAttribute(name, value)
  const tip = document.createElementNS(space, "path")
  tip.setAttribute("d", "M0,0 L8,4 L0,8 z")
  marker.append(tip)
  svg.append(marker)
  const all = layers(nodes)
  for (let n = 1; n < all.length; n += 1) {
    for (const from of all[n - 1]) {
      for (const to of all[n]) {
        const path = document.createElementNS(space, "path")
        path.setAttribute("d", line(places.of.get(from.id), places.of.get(to.id), places.down, all[n].length > 1))
        path.setAttribute("marker-end", "url(#tip)")
        svg.append(path)
      }
    }
  }
  return svg
}

function line(a, b, down, several) {
  if (down) {
    const [x1, y1, x2, y2] = [a.x + a.w / 2, a.y + a.h, b.x + b.w / 2, b.y]
    return `M${x1},${y1} C${x1},${(y1 + y2) / 2} ${x2},${(y1 + y2) / 2} ${x2},${y2}`
  }
  const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h / 2, b.x, b.y + b.h / 2]
  if (a.row === b.row) {
    const middle = (x1 + x2) / 2
    return `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`
  }
  const between = a.bottom + ROW_GAP / 2
  if (several) return `M${a.x + a.w / 2},${a.y + a.h} V${between} H${b.x - 12} V${y2} H${x2}`
  const [out, back] = [a.x + a.w / 2, b.x + b.w / 2]
  return `M${out},${a.y + a.h} V${between} H${back} V${b.y}`
}

function button(graph, node, place) {
  const made = make("button", `node ${node.kind} ${node.state}${node.movable ? " movable" : ""}`)
  made.type = "button"
  made.dataset.id = node.id
  made.title = node.said ? `${node.title}\n${node.detail}\n${node.said}` : `${node.title}\n${node.detail}`
  made.setAttribute("aria-pressed", String(node.id === graph.data.selected))
  made.setAttribute("aria-label", node.label)
  Object.assign(made.style, {
    left: `${place.x}px`,
    top: `${place.y}px`,
    width: `${place.w}px`,
    height: `${place.h}px`,
  })
  made.append(make("b", "", node.title))
  if (node.detail) made.append(make("span", "", node.detail))
  if (node.state) made.append(make("i", "", node.state === "error" ? "✕" : "⚠"))
  if (node.movable) made.append(make("div", "grip", "⠿"))
  made.onclick = () => {
    if (graph.dragging) return
    graph.focus = node.id
    graph.send("picked", node.id)
  }
  made.onkeydown = event => key(graph, node, event)
  if (node.movable) made.onpointerdown = event => grab(graph, node, made, event)
  return made
}

function key(graph, node, event) {
  const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key]
  if (!by) return
  event.preventDefault()
  if (event.altKey) {
    if (node.movable) move(graph, node, node.place + by)
    return
  }
  const at = graph.nodes.findIndex(one => one.dataset.id === node.id)
  graph.nodes[Math.max(0, Math.min(graph.nodes.length - 1, at + by))].focus()
}

function steps(graph) {
  return graph.data.nodes.filter(node => node.movable)
}

function move(graph, node, to) {
  const last = steps(graph).length - 1
  if (to < 0 || to > last || to === node.place) return
  graph.focus = `step-${to}`
  graph.root.querySelector(".said").textContent = `${node.title} moved to place ${to + 1} of ${last + 1}`
  graph.send("moved", { at: node.place, to })
}

function grab(graph, node, made, event) {
  // A finger scrolls the page unless it takes the step by its grip.
  if (event.button !== 0 || (event.pointerType === "touch" && !event.target.classList.contains("grip"))) return
  const start = { x: event.clientX, y: event.clientY }
  const before = graph.data
  let to = node.place
  graph.dragging = false
  graph.held = true
  const others = steps(graph)
  const buttons = others.map(one => graph.nodes.find(b => b.dataset.id === one.id))
  const centres = buttons.map(one => {
    const box = one.getBoundingClientRect()
    return { x: box.left + box.width / 2, y: box.top + box.height / 2 }
  })
  made.onpointermove = now => {
    const [dx, dy] = [now.clientX - start.x, now.clientY - start.y]
    if (!graph.dragging) {
      if (Math.hypot(dx, dy) < 6) return
      graph.dragging = true
      made.classList.add("dragged")
    }
    made.style.transform = `translate(${dx}px, ${dy}px)`
    const far = centres.map(one => Math.hypot(one.x - now.clientX, one.y - now.clientY))
    const nearest = far.indexOf(Math.min(...far))
    to = others[nearest].place
    buttons.forEach((one, n) => one.classList.toggle("target", n === nearest && to !== node.place))
  }
  const done = dropped => {
    made.onpointermove = made.onpointerup = made.onpointercancel = made.onlostpointercapture = null
    graph.held = false
    made.style.transform = ""
    made.classList.remove("dragged")
    buttons.forEach(one => one.classList.remove("target"))
    // The click that follows a drag is none.
    setTimeout(() => {
      graph.dragging = false
    }, 0)
    if (dropped && graph.dragging) move(graph, node, to)
    // A click follows a press that was no drag: what came meanwhile is drawn after it.
    if (graph.data !== before) setTimeout(() => draw(graph), 0)
  }
  made.setPointerCapture(event.pointerId)
  made.onpointerup = () => done(true)
  made.onlostpointercapture = () => done(false)
  made.onpointercancel = () => done(false)
}
