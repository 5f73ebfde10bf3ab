// A canvas: white strokes on black. Each finished stroke sends the drawing.
const canvas = element.querySelector('canvas');
const context = canvas.getContext('2d');
let last = null;

const clear = () => {
  context.fillStyle = '#000';
  context.fillRect(0, 0, canvas.width, canvas.height);
};
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
};
const strokeTo = (point) => {
  context.strokeStyle = '#fff';
  context.lineCap = 'round';
  context.lineWidth = canvas.width / 12;
  context.beginPath();
  context.moveTo(...last);
  context.lineTo(...point);
  context.stroke();
  last = point;
};

clear();
canvas.addEventListener('pointerdown', (event) => {
  canvas.setPointerCapture(event.pointerId);
  last = at(event);
  strokeTo(last);
});
canvas.addEventListener('pointermove', (event) => last && strokeTo(at(event)));
for (const name of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(name, () => {
    if (last) trigger('input', { png: canvas.toDataURL('image/png') });
    last = null;
  });
}
element.querySelector('.crate-clear').addEventListener('click', clear);
