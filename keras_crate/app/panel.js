// A panel: a click on the image, or a key, chooses the patch that attends.
const picture = () => element.querySelector('.crate-picture');
let refocus = false;
const choose = (patch) => trigger('select', { patch });

element.addEventListener('click', (event) => {
  if (event.target.closest('[data-every]')) return choose(null);
  if (!event.target.closest('.crate-picture')) return;
  const box = picture().getBoundingClientRect();
  const [rows, columns] = [Number(picture().dataset.rows), Number(picture().dataset.columns)];
  const inside = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  const row = inside((event.clientY - box.top) / box.height, rows);
  choose(row * columns + inside((event.clientX - box.left) / box.width, columns));
});

element.addEventListener('keydown', (event) => {
  if (event.target !== picture()) return;
  const { rows, columns, patch } = picture().dataset;
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key !== 'Escape' && !step[event.key]) return;
  event.preventDefault();
  refocus = true;
  if (event.key === 'Escape') return choose(null);
  const within = (value, count) => Math.max(0, Math.min(count - 1, value));
  const from = patch === '' ? Math.floor(rows / 2) * columns + Math.floor(columns / 2) : Number(patch);
  const [down, right] = patch === '' ? [0, 0] : step[event.key];
  const row = within(Math.floor(from / columns) + down, rows);
  choose(row * columns + within((from % columns) + right, columns));
});

// The new content has a new picture, which takes the focus of the old one.
watch('value', () => {
  if (refocus) picture()?.focus({ preventScroll: true });
  refocus = false;
});
