// Brings the newest question into sight. Streamlit follows a growing page only while it believes to be at its end, and
// loses that belief when an answer changes its height in the middle of a scroll: all later answers come out of sight.
const PASSES = 10
const EVERY_MS = 150
const BY_HAND = ["wheel", "touchmove", "pointerdown"]
let last

export default function (component) {
  const { data } = component
  const page = document.querySelector('[data-testid="stAppScrollToBottomContainer"]')
  if (!page || !data || data.question === last) return undefined
  last = data.question
  let left = PASSES
  const stop = () => {
    left = 0
    for (const kind of BY_HAND) page.removeEventListener(kind, stop)
  }
  const pass = () => {
    if (left-- <= 0) return stop()
    page.scrollTop = page.scrollHeight
    // Streamlit looks where the page is when it hears of a scroll, also where there is nothing to move.
    page.dispatchEvent(new Event("scroll"))
    setTimeout(pass, EVERY_MS)
  }
  // Whoever scrolls meanwhile wants to read something else.
  for (const kind of BY_HAND) page.addEventListener(kind, stop, { passive: true })
  pass()
  return stop
}
